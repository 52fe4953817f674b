"""Requests: creation, the right to write on, cancellation, the end."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import (
    LeaseLostError,
    RequestAlreadyExistsError,
    RequestNotFoundError,
    RequestTerminalError,
)
from flowstate_server.model.events import Event
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.json_values import copy_json
from flowstate_server.model.payloads import ScopeVersions, encode_terminal
from flowstate_server.model.records import (
    Failure,
    Outcome,
    RequestHead,
    RequestRecord,
    RequestStatus,
    TurnKey,
    TurnRecord,
)
from flowstate_server.model.scopes import ScopeKey, ScopeKind, request_scope
from flowstate_server.stores.commit.endings import abort_request, end_request, need_gate
from flowstate_server.stores.commit.leases import require_fenced_owner, require_lease
from flowstate_server.stores.commit.working_set import WorkingSet, moved_session
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Needs
from flowstate_server.stores.contract.writes import (
    CreateRequest,
    FinishRequest,
    LogWentBack,
    RequestCancel,
    RequireRun,
    WriteResult,
)


def need_creation(write: CreateRequest, needs: Needs) -> None:
    needs.add(tables.SESSIONS, write.session)
    needs.add(tables.REQUEST_HEADS, write.key)
    if write.status is not RequestStatus.QUEUED:
        needs.add(tables.PROCESSES, write.process)
    needs.update(tables.STATES, write.load)
    needs.update(tables.DOCUMENTS, write.load_documents)


def create_request(work: WorkingSet, write: CreateRequest) -> WriteResult:
    session = work.live_session(write.session)
    if write.status is RequestStatus.IN_PROGRESS:
        require_lease(work, write.process)
    elif write.status is not RequestStatus.QUEUED or write.process:
        raise ValueError("a request begins in progress on a process, or queued on none")
    if work.requests.get(write.key) is not None:
        raise ValueError("a batch creates the same request twice")
    head = RequestHead(
        key=write.key,
        session=write.session,
        session_log_id=session.log_id,
        log_id=write.log_id,
        user_id=write.user_id,
        fingerprint=write.fingerprint,
        process=write.process,
        status=write.status,
        create_time=work.time,
        attempt=1 if write.status is RequestStatus.IN_PROGRESS else 0,
        gate=write.gate,
    )
    record = RequestRecord(
        head,
        flow_kind=write.flow_kind,
        action=write.action,
        org_id=write.org_id,
        scopes=write.scopes,
        input=write.input,
        timeout=write.timeout,
        trace=write.trace,
        correlation_id=write.correlation_id,
    )
    (write.gate + write.trace + write.correlation_id).encode()
    work.requests.put(write.key, head)
    work.created.put(write.key, record)
    active = work.session_head(session)
    work.session_heads.put(session.key, moved_session(active, active.sequence, active.turns, work.time))
    states = tuple([work.state(key) for key in write.load])
    documents = [work.documents.find(key) for key in write.load_documents]
    return WriteResult(
        id=write.key.request_id,
        request=record,
        states=states,
        documents=tuple([document for document in documents if document is not None]),
    )


def need_run(write: RequireRun, needs: Needs) -> None:
    needs.add(tables.REQUEST_HEADS, write.request)
    if write.process is not None:
        needs.add(tables.PROCESSES, write.process)


def require_run(work: WorkingSet, write: RequireRun) -> WriteResult:
    head = work.known_request(write.request)
    if write.process is not None:
        if head.process != write.process or head.status.waiting:
            raise LeaseLostError
        require_lease(work, write.process)
    if head.status.ended:
        raise RequestTerminalError(write.request.request_id)
    return WriteResult(id=write.request.request_id, changed=False)


def need_request(write: RequestCancel, needs: Needs) -> None:
    needs.add(tables.REQUEST_HEADS, write.request)
    needs.update(tables.STATE_HEADS, write.scopes)
    need_gate(write.request, write.gate, needs)


def request_cancel(work: WorkingSet, write: RequestCancel) -> WriteResult:
    head = work.known_request(write.request)
    if head.status.ended or head.cancel_requested:
        return WriteResult(id=write.request.request_id, changed=False)
    write.reason.encode()
    if head.status is RequestStatus.QUEUED:
        head = abort_request(work, head, write.reason, _scope_versions(work, write.scopes))
    work.requests.put(head.key, replace(head, cancel_requested=True, cancel_reason=write.reason))
    return WriteResult(id=write.request.request_id)


def need_finish(write: FinishRequest, needs: Needs) -> None:
    needs.add(tables.REQUEST_HEADS, write.request)
    needs.add(tables.STATE_HEADS, request_scope(write.request))
    needs.update(tables.STATE_HEADS, write.scopes)
    need_gate(write.request, write.gate, needs)
    if write.swept is not None:
        needs.add(tables.PROCESSES, write.swept)


def finish_request(work: WorkingSet, write: FinishRequest) -> WriteResult:
    head = work.open_request(write.request)
    if write.swept is not None:
        require_fenced_owner(work, head, write.swept)
    if write.unbegun and head.status is not RequestStatus.QUEUED:
        raise LeaseLostError
    if not write.status.ended or not write.event.terminal:
        raise ValueError("a request ends with a terminal status and a terminal event")
    if write.status is RequestStatus.COMPLETED and head.sequence < write.sequence:
        raise LogWentBack(f"the log ends at {head.sequence}, the run has written {write.sequence} events")
    payload = encode_terminal(write.payload, _scope_versions(work, write.scopes))
    write.reason.encode()
    outcome = Outcome(head.key, write.output, _own_copy(write.failure), write.reason)
    head = end_request(work, head, write.status, Event(write.event, payload, FOR_CLIENTS), outcome)
    if write.status is RequestStatus.COMPLETED:
        _count_turn(work, head)
    return WriteResult(id=write.request.request_id, head=head)


def attached_to(work: WorkingSet, write: CreateRequest) -> RequestHead | None:
    """The request that ``write`` would repeat; the id of one that was deleted is not used again."""
    head = work.requests.get(write.key)
    if head is None:
        return None
    if not work.is_there(head):
        raise RequestNotFoundError(write.key.request_id)
    if (head.user_id, head.fingerprint) != (write.user_id, write.fingerprint):
        raise RequestAlreadyExistsError(write.key.request_id)
    return head


def _scope_versions(work: WorkingSet, scopes: tuple[ScopeKey, ...]) -> ScopeVersions:
    return {key.kind: work.state_head(key).version for key in scopes if key.kind is not ScopeKind.REQUEST}


def _count_turn(work: WorkingSet, head: RequestHead) -> None:
    session = work.session_head(work.session_of(head))
    number = session.turns + 1
    counted = moved_session(session, session.sequence, number, session.activity_time)
    work.session_heads.put(session.key, counted)
    turn = TurnKey(session.key, session.log_id, number)
    work.turns.put(turn, TurnRecord(turn, head.key.request_id))


def _own_copy(failure: Failure | None) -> Failure | None:
    """Shares nothing with the caller's value. What is not JSON fails here, not in the adapter."""
    if failure is None:
        return None
    (failure.reason + failure.message + failure.error_id).encode()
    return replace(failure, details=copy_json(failure.details))
