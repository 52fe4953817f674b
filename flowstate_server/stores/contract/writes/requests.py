"""Writes of requests and their runs."""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentKey
from flowstate_server.model.events import EventType
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import Failure, RequestStatus
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.writes.batches import Write


@frozen
class CreateRequest(Write):
    """Create a request in a session that lives or is created earlier in the batch: in progress, run by ``process``, or
    queued, with no process.

    Looked at before every other write of its batch: if the request exists with the same ``user_id`` and
    ``fingerprint``, nothing of the batch is written and :attr:`CommitResult.attached` is the existing one; with
    others, ``RequestAlreadyExistsError``. Refused with ``LeaseLostError`` if ``process`` does not hold its lease.

    ``load`` and ``load_documents`` name what its run starts from: it comes back, as this commit sees it, in
    :attr:`WriteResult.states` and, as far as it exists, in :attr:`WriteResult.documents`.
    """

    key: RequestKey
    session: SessionKey
    log_id: str
    user_id: str
    org_id: str
    fingerprint: str
    process: str
    flow_kind: str
    action: str
    scopes: tuple[ScopeKey, ...]
    input: bytes
    load: tuple[ScopeKey, ...] = ()
    load_documents: tuple[DocumentKey, ...] = ()
    status: RequestStatus = RequestStatus.IN_PROGRESS
    gate: str = ""
    timeout: Micros = 0
    trace: str = ""
    correlation_id: str = ""


@frozen
class RequireRun(Write):
    """Refuse unless, if ``process`` is given, the request is run by that process, which holds its lease (else
    ``LeaseLostError``), and is in progress (else ``RequestTerminalError``). An unknown request:
    ``RequestNotFoundError``.

    The first write of every batch of a run. ``process`` is ``None`` for a caller that writes on a run's behalf.
    """

    request: RequestKey
    process: str | None


@frozen
class RequestCancel(Write):
    """Ask the process that runs the request to cancel it. No change if the request has ended or was asked before."""

    request: RequestKey
    reason: str


@frozen
class FinishRequest(Write):
    """End a request: its status, outcome and terminal event in one, and its request scope removed.

    ``payload`` is the terminal event's, to which the commit adds ``scope_versions`` (0 for a record never written).
    ``RequestTerminalError`` if the request has ended. ``swept`` names the process whose requests a sweep ends: refused
    with ``LeaseLostError`` unless that process owns the request and is fenced. A run's own end goes with
    :class:`RequireRun` instead. ``scopes`` are those of the request's record; ``reason``
    tells why it was aborted or interrupted.
    """

    request: RequestKey
    status: RequestStatus
    event: EventType
    payload: JsonObject
    scopes: tuple[ScopeKey, ...]
    output: bytes | None = None
    failure: Failure | None = None
    reason: str = ""
    swept: str | None = None
