"""All that the database keeps, in pages by key."""

from __future__ import annotations

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    RequestRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.exporting import StoredSession
from flowstate_server.stores.postgres import rows
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.stored_values import ITEM_DONE, state_key

SESSIONS = (
    f"SELECT {rows.SESSION}, {rows.SESSION_HEAD} FROM flowstate.sessions s"
    " JOIN flowstate.session_heads h ON h.log = s.log"
    " WHERE NOT s.replaced AND (s.tenant, s.session_id) > ($1, $2) ORDER BY s.tenant, s.session_id LIMIT $3"
)
REQUESTS = (
    f"SELECT {rows.REQUEST_HEAD}, {rows.REQUEST_REST}, r.input, o.output, o.failure FROM {rows.REQUEST_HEAD_FROM}"
    " LEFT JOIN flowstate.outcomes o ON o.request = r.request"
    " WHERE NOT s.replaced AND (r.tenant, r.request_id) > ($1, $2) ORDER BY r.tenant, r.request_id LIMIT $3"
)
EVENTS = (
    "SELECT session_sequence, sequence, type, audiences, transient, time, block_path, payload, item_index,"
    " kind, item_audiences, item_id, role, name, content, request_id FROM"
    f" (SELECT {rows.EVENT}, i.item_index, i.kind, i.audiences AS item_audiences, i.item_id, i.role, i.name,"
    " i.content, r.request_id, row_number() OVER by_place AS number,"
    " sum(octet_length(e.payload) + coalesce(octet_length(i.content), 0)) OVER by_place AS size"
    " FROM (SELECT * FROM flowstate.events WHERE log = (SELECT log FROM flowstate.sessions"
    " WHERE tenant = $1 AND session_id = $2 AND NOT replaced AND log_id = $3) AND session_sequence > $4"
    " ORDER BY session_sequence LIMIT $5) e LEFT JOIN flowstate.requests r ON r.request = e.request"
    " LEFT JOIN flowstate.items i"
    f" ON e.type = {ITEM_DONE} AND i.log = e.log AND i.session_sequence = e.session_sequence"
    " WINDOW by_place AS (ORDER BY e.session_sequence)) p WHERE number = 1 OR size <= $6 ORDER BY number"
)
STATES = (
    f"SELECT {rows.STATE} FROM flowstate.states t WHERE (t.kind, t.tenant, t.id, t.flow_kind) > ($1, $2, $3, $4)"
    " ORDER BY t.kind, t.tenant, t.id, t.flow_kind LIMIT $5"
)
KEYS = (
    f"SELECT {rows.IDEMPOTENCY} FROM flowstate.idempotency_keys i"
    " WHERE (i.tenant, i.principal, i.method, i.key) > ($1, $2, $3, $4)"
    " ORDER BY i.tenant, i.principal, i.method, i.key LIMIT $5"
)


async def sessions(connections: Connections, after: SessionKey | None, limit: int) -> list[StoredSession]:
    found = []
    for row in await connections.fetch(SESSIONS, *(after or ("", "")), limit):
        values = tuple(row)
        record = rows.session_record(values[: rows.SESSION_WIDTH])
        head = rows.session_head(record.key, record.log_id, values[rows.SESSION_WIDTH :])
        found.append(StoredSession(record, head))
    return found


async def requests(connections: Connections, after: RequestKey | None, limit: int) -> list[RequestRecord]:
    found = await connections.fetch(REQUESTS, *(after or ("", "")), limit)
    return [rows.request_record(tuple(row[:-3]), *row[-3:]) for row in found]


async def events(
    connections: Connections, session: SessionKey, log_id: str, after: int, limit: int, max_bytes: int
) -> list[EventRecord]:
    found = await connections.fetch(EVENTS, *session, log_id, after, limit, max_bytes)
    return [rows.event_record(tuple(row), session, log_id, row[-1] or "") for row in found]


async def states(connections: Connections, after: ScopeKey | None, limit: int) -> list[StateRecord]:
    beyond = (0, "", "", "") if after is None else state_key(after)
    return [rows.state_record(tuple(row)) for row in await connections.fetch(STATES, *beyond, limit)]


async def idempotency_keys(
    connections: Connections, after: IdempotencyKey | None, limit: int
) -> list[IdempotencyRecord]:
    beyond = ("", "", "", "") if after is None else rows.idempotency_key(after)
    return [rows.idempotency_record(tuple(row)) for row in await connections.fetch(KEYS, *beyond, limit)]
