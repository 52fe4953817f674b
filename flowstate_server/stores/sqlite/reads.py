"""The reads. Each runs as a whole in one transaction, hence on one snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.pages import those_understood, understood, understood_one
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.sqlite import rows
from flowstate_server.stores.tables.numbers import ITEM_DONE, Row, state_key

SESSION = f"SELECT {rows.SESSION} FROM sessions s WHERE s.tenant = ? AND s.session_id = ? AND s.replaced = 0"
REQUEST = (
    f"SELECT {rows.REQUEST_HEAD}, {rows.REQUEST_REST}, r.input, o.output, o.failure FROM requests r"
    " CROSS JOIN request_heads h ON h.request = r.request CROSS JOIN sessions s ON s.log = h.log"
    " LEFT JOIN outcomes o ON o.request = r.request WHERE r.tenant = ? AND r.request_id = ?"
)
STATE = f"SELECT {rows.STATE} FROM states WHERE kind = ? AND tenant = ? AND id = ? AND flow_kind = ?"
EVENTS = (
    f"SELECT {rows.EVENT}, {rows.ITEM} FROM events e LEFT JOIN items i"
    f" ON e.type = {ITEM_DONE} AND i.place = e.place"
    " WHERE e.request = ? AND e.sequence > ? ORDER BY e.sequence LIMIT ?"
)
TURNS = (
    f"SELECT e.place, e.time, r.request_id, {rows.ITEM} FROM request_heads h"
    " CROSS JOIN items i ON i.request = h.request CROSS JOIN events e ON e.place = i.place"
    " CROSS JOIN requests r ON r.request = h.request"
    " WHERE h.log = ? AND h.turn > 0 AND h.turn > ? ORDER BY i.place"
)
HEAD = (
    f"SELECT {rows.SESSION}, h.sequence, h.turns, h.activity_time, s.log FROM sessions s"
    " CROSS JOIN session_heads h ON h.log = s.log"
    " WHERE s.tenant = ? AND s.session_id = ? AND s.replaced = 0"
)
ACTIVE = f"SELECT {rows.REQUEST_HEAD} FROM {rows.REQUEST_HEAD_FROM} WHERE h.status = 0 AND h.log = ? ORDER BY h.request"
UNFINISHED = (
    f"SELECT {rows.REQUEST_HEAD}, {rows.REQUEST_REST} FROM {rows.REQUEST_HEAD_FROM}"
    " WHERE h.status = 0 AND h.process = ? ORDER BY h.request LIMIT ?"
)
CANCELLED = (
    f"SELECT {rows.REQUEST_HEAD} FROM {rows.REQUEST_HEAD_FROM}"
    " WHERE h.status = 0 AND h.process = ? AND h.cancel_reason IS NOT NULL ORDER BY h.request"
)
PROCESSES = f"SELECT {rows.PROCESS} FROM processes ORDER BY process"
NEWEST_TIME = (
    "SELECT max((SELECT coalesce(max(renew_time), 0) FROM processes),"
    " coalesce((SELECT time FROM commits ORDER BY id DESC LIMIT 1), 0))"
)


def newest_time(cursor: sqlite3.Cursor) -> Micros:
    """The newest time stored that is found at once, 0 in an empty store."""
    [(newest,)] = cursor.execute(NEWEST_TIME).fetchall()
    return int(newest)


def get_session(cursor: sqlite3.Cursor, key: SessionKey) -> SessionRecord | None:
    row = cursor.execute(SESSION, key).fetchone()
    return None if row is None else understood_one(key, row, rows.session_record)


def list_sessions(
    cursor: sqlite3.Cursor, which: SessionFilter, limit: int, after: SessionPosition | None
) -> list[ListedSession]:
    """Ephemeral sessions are a list of their own in each index, merged into the others when asked for."""
    listed: list[ListedSession] = []
    while True:
        found: list[Row] = []
        for ephemeral in (0, 1) if which.include_ephemeral else (0,):
            found += cursor.execute(*sessions_query(which, ephemeral, limit, after))
        found.sort(key=_listed_order, reverse=True)
        listed += those_understood(found[:limit], rows.session_key, _listed)
        if len(listed) >= limit or len(found) < limit:
            return listed[:limit]
        after = rows.listed_place(found[limit - 1])


def _listed_order(row: Row) -> tuple[Micros, bytes]:
    place = rows.listed_place(row)
    return place.create_time, place.session_id.encode()


def _listed(row: Row) -> ListedSession:
    return ListedSession(rows.session_record(row), row[rows.SESSION_WIDTH])


def sessions_query(
    which: SessionFilter, ephemeral: int, limit: int, after: SessionPosition | None
) -> tuple[str, Row]:
    conditions = ["s.tenant = ?", "s.ephemeral = ?"]
    values: list[object] = [which.tenant, ephemeral]
    for column in ("flow_kind", "user_id", "org_id"):
        value = getattr(which, column)
        if value is not None:
            conditions.append(f"s.{column} = ?")
            values.append(value)
    if which.org_id:
        conditions.append("s.org_id <> ''")
    if after is not None:
        conditions.append("(s.create_time, s.session_id) < (?, ?)")
        values += (after.create_time, after.session_id)
    query = (
        f"SELECT {rows.SESSION}, h.activity_time FROM sessions s INDEXED BY {_index(which)}"
        " CROSS JOIN session_heads h ON h.log = s.log"
        f" WHERE s.replaced = 0 AND s.delete_time = 0 AND {' AND '.join(conditions)}"
        " ORDER BY s.create_time DESC, s.session_id DESC LIMIT ?"
    )
    return query, (*values, limit)


def _index(which: SessionFilter) -> str:
    """The index that leaves least to skip; SQLite would have to guess."""
    if which.user_id is not None:
        return "sessions_by_user"
    if which.org_id:
        return "sessions_by_org"
    if which.flow_kind is not None:
        return "sessions_by_flow"
    return "sessions_by_time"


def get_request(cursor: sqlite3.Cursor, key: RequestKey) -> RequestRecord | None:
    row = cursor.execute(REQUEST, key).fetchone()
    if row is None:
        return None
    return understood_one(key, row, lambda row: rows.request_record(row[:-3], *row[-3:]))


def load_states(cursor: sqlite3.Cursor, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
    return {key: _state(cursor, key) for key in keys}


def _state(cursor: sqlite3.Cursor, key: ScopeKey) -> StateRecord:
    row = cursor.execute(STATE, state_key(key)).fetchone()
    return StateRecord(key) if row is None else rows.state_record(key, row)


def read_events(
    cursor: sqlite3.Cursor, request: RequestKey, after: int, limit: int, max_bytes: int
) -> EventPage | None:
    found = cursor.execute(rows.REQUEST_HEAD_BY_KEY, request).fetchone()
    if found is None:
        return None
    head = rows.request_head(found)
    events: list[EventRecord] = []
    size = 0
    records = understood(
        cursor.execute(EVENTS, (found[0], after, limit + 1)),
        lambda row: (*request, row[1]),
        lambda row: rows.event_record(row, head.session, head.session_log_id, head.key.request_id),
    )
    for record in records:
        size += record.size
        if events and (len(events) >= limit or size > max_bytes):
            return EventPage(tuple(events), head, events[-1].sequence)
        events.append(record)
    return EventPage(tuple(events), head, head.sequence)


def read_turns(cursor: sqlite3.Cursor, session: SessionKey, log_id: str, newest: int) -> list[ItemRecord]:
    found = _session_with_head(cursor, session)
    if found is None or found[0].log_id != log_id:
        return []
    _, (_, turns, _), log = found
    turn_rows = cursor.execute(TURNS, (log, turns - newest))
    return [
        *understood(
            turn_rows, lambda row: (*session, row[0]), lambda row: rows.item_record(row, session, log_id)
        )
    ]


def read_projection(
    cursor: sqlite3.Cursor, session: SessionKey, scopes: Iterable[ScopeKey], clock: ForwardClock
) -> Projection | None:
    found = _session_with_head(cursor, session)
    if found is None or found[0].deleted:
        return None
    record, head, log = found
    return Projection(
        record,
        rows.session_head(session, record.log_id, head),
        load_states(cursor, scopes),
        tuple(rows.request_head(row) for row in cursor.execute(ACTIVE, (log,))),
        clock.now(),
    )


def log_of(cursor: sqlite3.Cursor, session: SessionKey, log_id: str) -> int | None:
    """The number of the session's log, if ``log_id`` is its present incarnation."""
    found = _session_with_head(cursor, session)
    return None if found is None or found[0].log_id != log_id else found[2]


def _session_with_head(cursor: sqlite3.Cursor, session: SessionKey) -> tuple[SessionRecord, Row, int] | None:
    row = cursor.execute(HEAD, session).fetchone()
    if row is None:
        return None
    width = rows.SESSION_WIDTH
    return understood_one(session, row[:width], rows.session_record), row[width:-1], row[-1]


def read_processes(cursor: sqlite3.Cursor) -> list[ProcessRecord]:
    return [rows.process_record(row) for row in cursor.execute(PROCESSES)]


def read_running(cursor: sqlite3.Cursor, process: str, limit: int) -> list[RequestRecord]:
    found = cursor.execute(UNFINISHED, (process, limit))
    return [*those_understood(found, lambda row: RequestKey(*row[2:4]), rows.request_record)]


def read_cancelled(cursor: sqlite3.Cursor, process: str) -> list[RequestHead]:
    return [rows.request_head(row) for row in cursor.execute(CANCELLED, (process,))]
