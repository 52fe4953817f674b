"""Sessions: creation, binding, metadata, and what is appended to their logs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flowstate_server.errors import RequestNotFoundError, SessionAlreadyExistsError, SessionNotFoundError
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.json_values import JsonObject, copy_json, same_json
from flowstate_server.model.payloads import SessionMetadataChanged
from flowstate_server.model.records import SessionHead, SessionRecord
from flowstate_server.stores.commit.working_set import WorkingSet, check_precondition
from flowstate_server.stores.contract.tables import REQUEST_HEADS, SESSIONS, Needs
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    CreateSession,
    RequireSession,
    SessionChanged,
    UpdateSession,
    WriteResult,
)


def need_session(write: CreateSession | RequireSession, needs: Needs) -> None:
    needs.add(SESSIONS, write.key)


def need_update(write: UpdateSession, needs: Needs) -> None:
    needs.add(SESSIONS, write.key)
    if write.request is not None:
        needs.add(REQUEST_HEADS, write.request)


def create_session(work: WorkingSet, write: CreateSession) -> WriteResult:
    existing = work.sessions.get(write.key)
    if existing is not None and not existing.deleted:
        raise SessionAlreadyExistsError(write.key.session_id) if write.exclusive else SessionChanged
    if existing is not None and not write.exclusive:
        raise SessionNotFoundError(write.key.session_id)
    fields = copy_json({"title": write.title, "description": write.description, "tags": list(write.tags)})
    session = SessionRecord(
        key=write.key,
        log_id=write.log_id,
        flow_kind=write.flow_kind,
        user_id=write.user_id,
        org_id=write.org_id,
        ephemeral=write.ephemeral,
        create_time=work.time,
        update_time=work.time,
        version=1 if existing is None else existing.version + 1,
        metadata=copy_json(write.metadata),
        **_as_fields(fields),
    )
    work.sessions.put(write.key, session)
    work.session_heads.put(write.key, SessionHead(write.key, write.log_id, 0, 0, work.time))
    return WriteResult(id=write.key.session_id, version=session.version, session=session)


def require_session(work: WorkingSet, write: RequireSession) -> WriteResult:
    session = work.live_session(write.key)
    if session.log_id != write.log_id:
        raise SessionChanged
    if write.active:
        work.note_activity(session)
    return WriteResult(id=write.key.session_id, version=session.version, changed=False, session=session)


def update_session(work: WorkingSet, write: UpdateSession) -> WriteResult:
    session = work.live_session(write.key)
    request = None if write.request is None else work.open_request(write.request)
    if write.precondition is not None:
        check_precondition(
            "session metadata",
            write.precondition,
            session.version,
            exists=True,
            incarnation=session.log_id,
            called="session metadata",
        )
    changed = _changed_fields(session, write.fields)
    if not changed:
        return WriteResult(id=session.key.session_id, version=session.version, changed=False, session=session)
    session = replace(session, version=session.version + 1, update_time=work.time, **_as_fields(changed))
    work.sessions.put(session.key, session)
    told = SessionMetadataChanged(list(changed), session.version)
    event = Event(EventType.SESSION_METADATA_CHANGED, told.encode(), FOR_CLIENTS)
    if request is None:
        work.log_events(session, (event,))
    else:
        work.log_request_events(request, (event,))
        work.note_activity(session)
    return WriteResult(id=session.key.session_id, version=session.version, session=session)


def need_logs(write: AppendEvents, needs: Needs) -> None:
    needs.add(SESSIONS, write.session)
    if write.request is not None:
        needs.add(REQUEST_HEADS, write.request)


def append_events(work: WorkingSet, write: AppendEvents) -> WriteResult:
    if write.request is None:
        work.log_events(work.live_session(write.session), write.events)
        return WriteResult(id=write.session.session_id, changed=bool(write.events))
    head = work.open_request(write.request)
    if head.session != write.session:
        raise RequestNotFoundError(write.request.request_id)
    head = work.log_request_events(head, write.events)
    return WriteResult(id=write.request.request_id, changed=bool(write.events), head=head)


def _changed_fields(session: SessionRecord, fields: JsonObject) -> JsonObject:
    stored: JsonObject = {
        "title": session.title,
        "description": session.description,
        "tags": list(session.tags),
        "metadata": session.metadata,
    }
    unknown = fields.keys() - stored.keys()
    if unknown:
        raise ValueError(f"sessions have no field {sorted(unknown)}")
    fields = copy_json(fields)
    return {name: value for name, value in fields.items() if not same_json([stored[name]], [value])}


def _as_fields(fields: JsonObject) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
