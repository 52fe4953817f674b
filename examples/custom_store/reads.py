"""What a snapshot answers to reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from examples.custom_store.group_storage import time_of
from examples.custom_store.snapshot import Snapshot, own
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import RequestRecord, StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)


def states(snapshot: Snapshot, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
    return {key: own(snapshot.states.get(key)) or StateRecord(key) for key in keys}


def listed_sessions(
    snapshot: Snapshot, which: SessionFilter, limit: int, after: SessionPosition | None
) -> list[ListedSession]:
    found = [
        session
        for session in snapshot.sessions.values()
        if session.key.tenant == which.tenant
        and not session.deleted
        and which.flow_kind in (None, session.flow_kind)
        and which.user_id in (None, session.user_id)
        and which.org_id in (None, session.org_id)
        and (which.include_ephemeral or not session.ephemeral)
        and (
            after is None
            or (session.create_time, session.key.session_id) < (after.create_time, after.session_id)
        )
    ]
    found.sort(key=lambda session: (session.create_time, session.key.session_id), reverse=True)
    heads = snapshot.session_heads
    return [ListedSession(own(one), heads[one.key].activity_time) for one in found[:limit]]


def event_page(
    snapshot: Snapshot, request: RequestKey, after: int, limit: int, max_bytes: int
) -> EventPage | None:
    known = snapshot.requests.get(request)
    if known is None:
        return None
    page: list[EventRecord] = []
    size = 0
    for event in _events_of(snapshot, known):
        if event.sequence <= after:
            continue
        size += len(event.event.payload) + (len(event.event.item.content) if event.event.item else 0)
        if page and (len(page) == limit or size > max_bytes):
            return EventPage(tuple(page), known.head, page[-1].sequence)
        page.append(event)
    return EventPage(tuple(page), known.head, known.head.sequence)


def turns(snapshot: Snapshot, session: SessionKey, log_id: str, newest: int) -> list[ItemRecord]:
    completed = [
        (one.head.turn, one.key.request_id)
        for one in snapshot.requests.values()
        if (one.head.session, one.head.session_log_id) == (session, log_id) and one.head.turn
    ]
    wanted = {request_id for _, request_id in sorted(completed)[max(0, len(completed) - newest) :]}
    return [
        ItemRecord(one.event.item, session, log_id, one.request_id, one.session_sequence, one.time)
        for one in snapshot.events.get((session, log_id), ())
        if one.request_id in wanted and one.event.item and one.event.type is EventType.ITEM_DONE
    ]


def projection(snapshot: Snapshot, session: SessionKey, scopes: Iterable[ScopeKey]) -> Projection | None:
    record = snapshot.sessions.get(session)
    if record is None or record.deleted:
        return None
    active = tuple(
        one.head
        for one in snapshot.requests.values()
        if one.head.session == session and not one.head.status.ended
    )
    head = snapshot.session_heads[session]
    return Projection(own(record), head, states(snapshot, scopes), active, time_of(snapshot))


def unfinished(snapshot: Snapshot, process: str) -> Sequence[RequestRecord]:
    return [
        replace(one, input=b"")
        for one in snapshot.requests.values()
        if one.head.process == process and not one.head.status.ended
    ]


def _events_of(snapshot: Snapshot, request: RequestRecord) -> Iterable[EventRecord]:
    head = request.head
    log = snapshot.events.get((head.session, head.session_log_id), ())
    return (event for event in log if event.request_id == head.key.request_id)
