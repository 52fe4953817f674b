"""The writes at a gate: a request comes to it, and a queued one begins.

No write leaves a gate: whatever ends a request hands its gate to the next one, in the same commit.
"""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentKey
from flowstate_server.model.frozen import frozen
from flowstate_server.model.gates import Policy
from flowstate_server.model.scopes import RequestKey, ScopeKey
from flowstate_server.stores.contract.writes import Write


class GateTaken(Exception):
    """The request ``holder`` has the gate."""

    def __init__(self, holder: RequestKey, *, itself: bool = False) -> None:
        super().__init__("somebody has the gate")
        self.holder = holder
        self.itself = itself
        """Whether the holder would have waited for itself."""


class TurnTaken(Exception):
    """The request is not to begin: it has begun or ended, its turn has not come, or its time is over."""


@frozen
class EnterGate(Write):
    """Let a request, created in progress earlier in the batch, through the ``gate`` that it was created with, or make
    it wait.

    A gate that nobody has is taken, and ``request.in_progress`` logged. Else, by ``policy``:

    * ``reject``: :class:`GateTaken`.
    * ``queue``: the request is queued behind all that wait, on no process, and ``request.queued`` logged; with
      ``limit`` of them waiting: ``QueueFullError``.
    * ``interrupt``: all that wait end as aborted, and so does one whose turn has come, in whose place the request
      begins. One that runs is asked to cancel, and the request is queued.

    A queued request waits for ``patience`` at most. ``within`` is the request, if any, that waits for this one to end:
    if that has the gate itself, :class:`GateTaken`. The result's ``head`` is the request's.
    """

    request: RequestKey
    gate: str
    policy: Policy
    patience: Micros
    limit: int
    within: str = ""


@frozen
class BeginRequest(Write):
    """Let ``process`` run a queued request whose turn it is; ``request.in_progress`` is logged.

    Refused with :class:`TurnTaken` unless its turn has come and lasts, with ``LeaseLostError`` if the process does not
    hold its lease. No change if the process runs it already. ``gate`` is that of the request, ``expire_time`` that of
    its turn. What ``load`` and ``load_documents`` name comes back as from ``CreateRequest``, besides ``session`` and
    ``head``.
    """

    request: RequestKey
    gate: str
    expire_time: Micros
    process: str
    load: tuple[ScopeKey, ...] = ()
    load_documents: tuple[DocumentKey, ...] = ()
