"""All that the database keeps, in pages by key."""

from __future__ import annotations

import sqlite3

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    RequestRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.exporting import StoredSession
from flowstate_server.stores.contract.pages import page_of, understood
from flowstate_server.stores.sqlite import reads, rows
from flowstate_server.stores.tables.numbers import ITEM_DONE, Row, scope_key, state_key

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
    found = cursor.execute(SESSIONS, (*(after or ("", "")), limit))
    return [*understood(found, lambda row: SessionKey(*row[:2]), _stored_session)]


def requests(
    cursor: sqlite3.Cursor, after: RequestKey | None, limit: int, max_bytes: int
) -> list[RequestRecord]:
    found = cursor.execute(REQUESTS, (*(after or ("", "")), limit))
    records = understood(
        found, lambda row: RequestKey(*row[2:4]), lambda row: rows.request_record(row[:-3], *row[-3:])
    )
    return page_of(records, limit, max_bytes)


def events(
    cursor: sqlite3.Cursor, session: SessionKey, log_id: str, after: int, limit: int, max_bytes: int
) -> list[EventRecord]:
    log = reads.log_of(cursor, session, log_id)
    if log is None:
        return []
    between = (rows.place_of(log, after), rows.place_of(log + 1, 0))
    records = understood(
        cursor.execute(EVENTS, (*between, limit)),
        lambda row: rows.sequence_at(row[1]),
        lambda row: rows.event_record(row[1:], session, log_id, row[0] or ""),
    )
    return page_of(records, limit, max_bytes)


def states(cursor: sqlite3.Cursor, after: ScopeKey | None, limit: int, max_bytes: int) -> list[StateRecord]:
    beyond = (0, "", "", "") if after is None else state_key(after)
    records = understood(
        cursor.execute(STATES, (*beyond, limit)),
        lambda row: scope_key(row[:4]),
        lambda row: rows.state_record(scope_key(row[:4]), row[4:]),
    )
    return page_of(records, limit, max_bytes)


def idempotency_keys(
    cursor: sqlite3.Cursor, after: IdempotencyKey | None, limit: int, max_bytes: int
) -> list[IdempotencyRecord]:
    beyond = ("", "", "", "") if after is None else (after.tenant, after.principal, after.method, after.key)
    found = cursor.execute(KEYS, (*beyond, limit))
    records = (rows.idempotency_record(IdempotencyKey(*row[:4]), row[4:]) for row in found)
    return page_of(records, limit, max_bytes)


def _stored_session(row: Row) -> StoredSession:
    record = rows.session_record(row[: rows.SESSION_WIDTH])
    return StoredSession(record, rows.session_head(record.key, record.log_id, row[rows.SESSION_WIDTH :]))
