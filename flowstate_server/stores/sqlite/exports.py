"""All that the database keeps, in pages by key."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    RequestRecord,
    SessionHead,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.exporting import StoredSession
from flowstate_server.stores.sqlite import reads, rows
from flowstate_server.stores.stored_values import ITEM_DONE, Row, scope_key, state_key

SESSIONS = (
    f"SELECT {rows.SESSION}, h.sequence, h.turns, h.activity_time FROM sessions s INDEXED BY sessions_by_id"
    " CROSS JOIN session_heads h ON h.log = s.log"
    " WHERE s.replaced = 0 AND (s.tenant, s.session_id) > (?, ?) ORDER BY s.tenant, s.session_id LIMIT ?"
)
REQUESTS = (
    f"SELECT {rows.REQUEST_HEAD}, {rows.REQUEST_REST}, r.input, o.output, o.failure FROM requests r"
    " CROSS JOIN request_heads h ON h.request = r.request CROSS JOIN sessions s ON s.log = h.log"
    " LEFT JOIN outcomes o ON o.request = r.request"
    " WHERE s.replaced = 0 AND (r.tenant, r.request_id) > (?, ?) ORDER BY r.tenant, r.request_id LIMIT ?"
)
EVENTS = (
    f"SELECT r.request_id, {rows.EVENT}, {rows.ITEM} FROM events e LEFT JOIN requests r ON r.request = e.request"
    f" LEFT JOIN items i ON e.type = {ITEM_DONE} AND i.place = e.place"
    " WHERE e.place > ? AND e.place < ? ORDER BY e.place LIMIT ?"
)
STATES = (
    f"SELECT kind, tenant, id, flow_kind, {rows.STATE} FROM states"
    " WHERE (kind, tenant, id, flow_kind) > (?, ?, ?, ?) ORDER BY kind, tenant, id, flow_kind LIMIT ?"
)
KEYS = (
    "SELECT tenant, principal, method, key, fingerprint, reply, expire_time FROM idempotency_keys"
    " WHERE (tenant, principal, method, key) > (?, ?, ?, ?) ORDER BY tenant, principal, method, key LIMIT ?"
)


def sessions(cursor: sqlite3.Cursor, after: SessionKey | None, limit: int) -> list[StoredSession]:
    found = []
    for row in cursor.execute(SESSIONS, (*(after or ("", "")), limit)):
        record = rows.session_record(row[: rows.SESSION_WIDTH])
        found.append(
            StoredSession(record, SessionHead(record.key, record.log_id, *row[rows.SESSION_WIDTH :]))
        )
    return found


def requests(cursor: sqlite3.Cursor, after: RequestKey | None, limit: int) -> list[RequestRecord]:
    found = cursor.execute(REQUESTS, (*(after or ("", "")), limit))
    return [rows.request_record(row[:-3], *row[-3:]) for row in found]


def events(
    cursor: sqlite3.Cursor, session: SessionKey, log_id: str, after: int, limit: int, max_bytes: int
) -> list[EventRecord]:
    log = reads.log_of(cursor, session, log_id)
    if log is None:
        return []
    page: list[EventRecord] = []
    size = 0
    between = (rows.place_of(log, after), rows.place_of(log + 1, 0))
    for request_id, *row in cursor.execute(EVENTS, (*between, limit)):
        record = rows.event_record(tuple(row), session, log_id, request_id or "")
        size += reads.event_size(record)
        if page and size > max_bytes:
            break
        page.append(record)
    return page


def states(cursor: sqlite3.Cursor, after: ScopeKey | None, limit: int) -> list[StateRecord]:
    beyond = (0, "", "", "") if after is None else state_key(after)
    found: Sequence[Row] = cursor.execute(STATES, (*beyond, limit)).fetchall()
    return [rows.state_record(scope_key(row[:4]), row[4:]) for row in found]


def idempotency_keys(
    cursor: sqlite3.Cursor, after: IdempotencyKey | None, limit: int
) -> list[IdempotencyRecord]:
    beyond = ("", "", "", "") if after is None else (after.tenant, after.principal, after.method, after.key)
    found = cursor.execute(KEYS, (*beyond, limit))
    return [rows.idempotency_record(IdempotencyKey(*row[:4]), row[4:]) for row in found]
