"""What deleted sessions have left: found by looking at everything, as all is found here."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

from examples.custom_store.reads import time_of
from examples.custom_store.snapshot import Log, Snapshot, id_of, without
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentKey, OwnerKind
from flowstate_server.model.records import RequestStatus, removed_head
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey, session_scope
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Table,
)

NEVER = Micros(2**62)


def without_deleted(snapshot: Snapshot, retention: Micros, limit: int) -> tuple[Snapshot, int]:
    """The snapshot after a step, and how much has gone: the first of these that finds something."""
    for step in (_without_events, _without_requests, _without_owned):
        after, gone = step(snapshot, limit)
        if gone:
            return after, gone
    before = Micros(time_of(snapshot) - retention)
    requests = {
        key
        for key, one in snapshot.of(REQUESTS).items()
        if one.head.status is RequestStatus.REMOVED and one.head.end_time <= before
    }
    if requests:
        return without(snapshot, REQUESTS, requests), len(requests)
    return _without_tombstones(snapshot, before)


def _delete_time(snapshot: Snapshot, log: Log) -> Micros:
    """When the incarnation was deleted, at the latest; :data:`NEVER` if it lives."""
    session = snapshot.of(SESSIONS).get(log[0])
    if session is None:
        return Micros(0)
    if session.log_id != log[1]:
        return session.create_time
    return session.delete_time or NEVER


def _is_deleted(snapshot: Snapshot, log: Log) -> bool:
    return _delete_time(snapshot, log) != NEVER


def _without_events(snapshot: Snapshot, limit: int) -> tuple[Snapshot, int]:
    for log, events in snapshot.events.items():
        if events and _is_deleted(snapshot, log):
            return replace(snapshot, events={**snapshot.events, log: events[limit:]}), len(events[:limit])
    return snapshot, 0


def _without_requests(snapshot: Snapshot, limit: int) -> tuple[Snapshot, int]:
    """Of a request its id stays, in its head."""
    requests = dict(snapshot.of(REQUESTS))
    found = [
        (one, time)
        for one in requests.values()
        if one.head.status is not RequestStatus.REMOVED
        and (time := _delete_time(snapshot, (one.head.session, one.head.session_log_id))) != NEVER
    ]
    for one, time in found[:limit]:
        requests[one.key] = replace(id_of(one), head=removed_head(one.head, time))
    return replace(snapshot, tables={**snapshot.tables, REQUESTS.name: requests}), len(found[:limit])


def _without_owned(snapshot: Snapshot, limit: int) -> tuple[Snapshot, int]:
    tables: tuple[Table[Any, Any], ...] = (TURNS, DOCUMENTS, STATES)
    for table in tables:
        over = (key for key in snapshot.of(table) if _goes(snapshot, table, key))
        gone = set(islice(over, limit))
        if gone:
            return without(snapshot, table, gone), len(gone)
    return snapshot, 0


def _goes(snapshot: Snapshot, table: Table[Any, Any], key: Any) -> bool:
    if table is TURNS:
        return _is_deleted(snapshot, (key.session, key.log_id))
    request: RequestKey | None = None
    if isinstance(key, DocumentKey):
        owner = key.owner
        if owner.kind is OwnerKind.SESSION:
            return _is_deleted(snapshot, (SessionKey(owner.tenant, owner.id), owner.incarnation))
        request = RequestKey(owner.tenant, owner.id) if owner.kind is OwnerKind.REQUEST else None
    elif isinstance(key, ScopeKey) and key.kind is ScopeKind.REQUEST:
        request = RequestKey(key.tenant, key.id)
    removed = None if request is None else snapshot.of(REQUESTS).get(request)
    return removed is not None and removed.head.status is RequestStatus.REMOVED


def _without_tombstones(snapshot: Snapshot, before: Micros) -> tuple[Snapshot, int]:
    gone = {key for key, one in snapshot.of(SESSIONS).items() if one.deleted and one.delete_time <= before}
    for key in gone:
        snapshot = without(snapshot, STATES, {session_scope(key)})
    return without(without(snapshot, SESSION_HEADS, gone), SESSIONS, gone), len(gone)
