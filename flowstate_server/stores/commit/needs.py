"""Which records a batch reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey, request_scope
from flowstate_server.stores.contract.storage import Needs
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    Batch,
    ChangeState,
    CreateRequest,
    CreateSession,
    DeleteState,
    FenceProcess,
    FinishRequest,
    ImportRecords,
    PutIdempotencyKey,
    RenewLease,
    RequestCancel,
    RequireRun,
    RequireSession,
    UpdateSession,
)


def needs_of(batch: Batch) -> Needs:
    needs = Needs()
    for write in batch:
        _NEEDS[type(write)](write, needs)
    return needs


def all_needs(parts: Iterable[Needs]) -> Needs:
    needs = Needs()
    for part in parts:
        needs.sessions |= part.sessions
        needs.requests |= part.requests
        needs.states |= part.states
        needs.state_heads |= part.state_heads
        needs.processes |= part.processes
        needs.idempotency_keys |= part.idempotency_keys
    return needs


def _session(write: CreateSession | RequireSession, needs: Needs) -> None:
    needs.sessions.add(write.key)


def _update_session(write: UpdateSession, needs: Needs) -> None:
    needs.sessions.add(write.key)
    if write.request is not None:
        needs.requests.add(write.request)


def _create_request(write: CreateRequest, needs: Needs) -> None:
    needs.sessions.add(write.session)
    needs.requests.add(write.key)
    needs.processes.add(write.process)
    needs.states.update(write.load)


def _require_run(write: RequireRun, needs: Needs) -> None:
    needs.requests.add(write.request)
    if write.process is not None:
        needs.processes.add(write.process)


def _request_cancel(write: RequestCancel, needs: Needs) -> None:
    needs.requests.add(write.request)


def _finish_request(write: FinishRequest, needs: Needs) -> None:
    needs.requests.add(write.request)
    needs.state_heads.add(request_scope(write.request))
    needs.state_heads.update(write.scopes)
    if write.swept is not None:
        needs.processes.add(write.swept)


def _change_state(write: ChangeState, needs: Needs) -> None:
    _state(write.key, needs)
    if write.request is not None:
        needs.requests.add(write.request)


def _delete_state(write: DeleteState, needs: Needs) -> None:
    _state(write.key, needs)


def _state(key: ScopeKey, needs: Needs) -> None:
    needs.states.add(key)
    if key.kind is ScopeKind.SESSION:
        needs.sessions.add(SessionKey(key.tenant, key.id))
    elif key.kind is ScopeKind.REQUEST:
        needs.requests.add(RequestKey(key.tenant, key.id))


def _append_events(write: AppendEvents, needs: Needs) -> None:
    needs.sessions.add(write.session)
    if write.request is not None:
        needs.requests.add(write.request)


def _process(write: RenewLease | FenceProcess, needs: Needs) -> None:
    needs.processes.add(write.process)


def _idempotency_key(write: PutIdempotencyKey, needs: Needs) -> None:
    needs.idempotency_keys.add(write.key)


def _import_records(write: ImportRecords, needs: Needs) -> None:
    needs.sessions.update(record.key for record, _ in write.sessions)
    needs.sessions.update(record.head.session for record in write.requests)
    needs.sessions.update(event.session for event in write.events)
    needs.requests.update(record.key for record in write.requests)
    needs.requests.update(
        RequestKey(event.session.tenant, event.request_id) for event in write.events if event.request_id
    )
    needs.states.update(record.key for record in write.states)
    needs.processes.update(record.process for record in write.processes)
    needs.idempotency_keys.update(record.key for record in (write.progress, *write.idempotency_keys))


_NEEDS: dict[type, Callable[[Any, Needs], None]] = {
    CreateSession: _session,
    RequireSession: _session,
    UpdateSession: _update_session,
    CreateRequest: _create_request,
    RequireRun: _require_run,
    RequestCancel: _request_cancel,
    FinishRequest: _finish_request,
    ChangeState: _change_state,
    DeleteState: _delete_state,
    AppendEvents: _append_events,
    RenewLease: _process,
    FenceProcess: _process,
    PutIdempotencyKey: _idempotency_key,
    ImportRecords: _import_records,
}
