"""Requests: creation, the right to write on, cancellation, the end."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from flowstate_server.errors import LeaseLostError, RequestAlreadyExistsError
from flowstate_server.model.events import Event
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import Json, JsonObject, decode_json, encode_json
from flowstate_server.model.records import Failure, RequestHead, RequestRecord, RequestStatus
from flowstate_server.model.scopes import ScopeKey, ScopeKind, request_scope
from flowstate_server.stores.commit.log_writes import (
    known_request,
    live_session,
    log_request_events,
    moved,
    running_request,
    session_head,
    session_of,
)
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.storage import Outcome
from flowstate_server.stores.contract.writes import (
    CreateRequest,
    FinishRequest,
    RequestCancel,
    RequireRun,
    WriteResult,
)

_FOR_CLIENTS = frozenset((Audience.CLIENT,))


def create_request(work: WorkingSet, write: CreateRequest) -> WriteResult:
    session = live_session(work, write.session)
    _require_lease(work, write.process)
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
        status=RequestStatus.IN_PROGRESS,
        create_time=work.time,
    )
    record = RequestRecord(head, write.flow_kind, write.action, write.org_id, write.scopes, write.input)
    work.requests.put(write.key, head)
    work.created.put(write.key, record)
    work.session_heads.put(session.key, replace(session_head(work, session), activity_time=work.time))
    states = tuple(work.state(key) for key in write.load)
    return WriteResult(id=write.key.request_id, request=record, states=states)


def require_run(work: WorkingSet, write: RequireRun) -> WriteResult:
    if write.process is not None:
        if known_request(work, write.request).process != write.process:
            raise LeaseLostError
        _require_lease(work, write.process)
    running_request(work, write.request)
    return WriteResult(id=write.request.request_id, changed=False)


def request_cancel(work: WorkingSet, write: RequestCancel) -> WriteResult:
    head = known_request(work, write.request)
    if head.status.ended or head.cancel_requested:
        return WriteResult(id=write.request.request_id, changed=False)
    write.reason.encode()
    work.requests.put(head.key, replace(head, cancel_requested=True, cancel_reason=write.reason))
    return WriteResult(id=write.request.request_id)


def finish_request(work: WorkingSet, write: FinishRequest) -> WriteResult:
    head = running_request(work, write.request)
    if write.swept is not None:
        _require_fenced_owner(work, head, write.swept)
    if not write.status.ended or not write.event.terminal:
        raise ValueError("a request ends with a terminal status and a terminal event")
    payload: dict[str, Json] = {**write.payload, "scope_versions": _scope_versions(work, write.scopes)}
    head = log_request_events(work, head, (Event(write.event, encode_json(payload), _FOR_CLIENTS),))
    turn = _count_turn(work, head) if write.status is RequestStatus.COMPLETED else 0
    head = moved(head, head.sequence, write.status, turn, work.time)
    work.requests.put(head.key, head)
    work.outcomes.put(head.key, Outcome(head.key, write.output, _own_copy(write.failure)))
    work.removed.put(request_scope(head.key), True)
    return WriteResult(id=write.request.request_id, head=head)


def attached_to(work: WorkingSet, write: CreateRequest) -> RequestHead | None:
    """The request that ``write`` would repeat."""
    head = work.requests.get(write.key)
    if head is None:
        return None
    if (head.user_id, head.fingerprint) != (write.user_id, write.fingerprint):
        raise RequestAlreadyExistsError(write.key.request_id)
    return head


def _require_lease(work: WorkingSet, process: str) -> None:
    row = work.processes.get(process)
    if row is None or row.fenced:
        raise LeaseLostError


def _require_fenced_owner(work: WorkingSet, head: RequestHead, process: str) -> None:
    row = work.processes.get(process)
    if head.process != process or row is None or not row.fenced:
        raise LeaseLostError


def _scope_versions(work: WorkingSet, scopes: tuple[ScopeKey, ...]) -> JsonObject:
    return {
        key.kind.value: work.state_head(key).version for key in scopes if key.kind is not ScopeKind.REQUEST
    }


def _count_turn(work: WorkingSet, head: RequestHead) -> int:
    counted = session_head(work, session_of(work, head))
    work.session_heads.put(counted.key, replace(counted, turns=counted.turns + 1))
    return counted.turns + 1


def _own_copy(failure: Failure | None) -> Failure | None:
    """A copy that shares nothing with the caller's value. What is not JSON fails here, not in the adapter."""
    if failure is None:
        return None
    (failure.reason + failure.message + failure.error_id).encode()
    return replace(failure, details=cast(JsonObject, decode_json(encode_json(failure.details))))
