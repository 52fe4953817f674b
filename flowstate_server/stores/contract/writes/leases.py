"""Writes of the leases of server processes."""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.stores.contract.writes.batches import Write


@frozen
class RenewLease(Write):
    """Renew a process's lease from the store's time on; ``start`` makes the row of a new process.

    Refused with ``LeaseLostError`` if the process is fenced or unknown. A batch of this write alone goes ahead of the
    commit queue.
    """

    process: str
    lease: Micros
    start: bool = False


@frozen
class FenceProcess(Write):
    """Fence a process whose lease expired: none of its runs commits anything from then on.

    Refused with ``LeaseLostError`` if the lease was renewed since ``seen`` (its ``renew_time`` when judged), or is not
    expired, unless the process is ``known_dead``. Fencing a fenced or unknown process changes nothing.
    """

    process: str
    seen: Micros
    known_dead: bool = False
