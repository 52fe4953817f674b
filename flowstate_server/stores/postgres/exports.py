"""All that the database keeps, in pages by key."""

from __future__ import annotations

from typing import Any

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    RequestRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.exporting import StoredSession
from flowstate_server.stores.contract.pages import understood
from flowstate_server.stores.postgres import rows
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.tables.numbers import ITEM_DONE, Row, scope_key, state_key


def _page(columns: str, source: str, key: str, size: str) -> str:
    """Rows behind a key, given by the first arguments, as far as their number and their bytes, the last two, allow."""
    width = key.count(",") + 1
    place = ", ".join(f"${number}" for number in range(1, width + 1))
    return (
        f"SELECT * FROM (SELECT {columns}, row_number() OVER by_key AS number, sum({size}) OVER by_key AS size"
        f" FROM {source} AND ({key}) > ({place}) WINDOW by_key AS (ORDER BY {key}) ORDER BY {key} LIMIT ${width + 1}) p"
        f" WHERE number = 1 OR size <= ${width + 2} ORDER BY number"
    )


SESSIONS = (
    f"SELECT {rows.SESSION}, {rows.SESSION_HEAD} FROM flowstate.sessions s"
    " JOIN flowstate.session_heads h ON h.log = s.log"
    " WHERE NOT s.replaced AND (s.tenant, s.session_id) > ($1, $2) ORDER BY s.tenant, s.session_id LIMIT $3"
)
REQUESTS = _page(
    f"{rows.REQUEST_HEAD}, {rows.REQUEST_REST}, r.input, o.output, o.failure",
    f"{rows.REQUEST_HEAD_FROM} LEFT JOIN flowstate.outcomes o ON o.request = r.request WHERE NOT s.replaced",
    "r.tenant, r.request_id",
    "octet_length(r.input) + coalesce(octet_length(o.output), 0)",
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
STATES = _page(
    rows.STATE,
    "flowstate.states t WHERE true",
    "t.kind, t.tenant, t.id, t.flow_kind",
    "octet_length(t.text)",
)
KEYS = _page(
    rows.IDEMPOTENCY,
    "flowstate.idempotency_keys i WHERE true",
    "i.tenant, i.principal, i.method, i.key",
    "octet_length(i.reply)",
)


async def sessions(connections: Connections, after: SessionKey | None, limit: int) -> list[StoredSession]:
    found = await connections.fetch(SESSIONS, *(after or ("", "")), limit)
    return [*understood(found, lambda row: SessionKey(*row[:2]), _stored_session)]


async def requests(
    connections: Connections, after: RequestKey | None, limit: int, max_bytes: int
) -> list[RequestRecord]:
    found = await connections.fetch(REQUESTS, *(after or ("", "")), limit, max_bytes)
    return [*understood(found, lambda row: RequestKey(*row[2:4]), _request)]


async def events(
    connections: Connections, session: SessionKey, log_id: str, after: int, limit: int, max_bytes: int
) -> list[EventRecord]:
    found = await connections.fetch(EVENTS, *session, log_id, after, limit, max_bytes)
    records = understood(
        found,
        lambda row: row["session_sequence"],
        lambda row: rows.event_record(tuple(row), session, log_id, row["request_id"] or ""),
    )
    return [*records]


async def states(
    connections: Connections, after: ScopeKey | None, limit: int, max_bytes: int
) -> list[StateRecord]:
    beyond = (0, "", "", "") if after is None else state_key(after)
    found = await connections.fetch(STATES, *beyond, limit, max_bytes)
    records = understood(
        found, lambda row: scope_key(row[:4]), lambda row: rows.state_record(_without_place(row))
    )
    return [*records]


async def idempotency_keys(
    connections: Connections, after: IdempotencyKey | None, limit: int, max_bytes: int
) -> list[IdempotencyRecord]:
    beyond = ("", "", "", "") if after is None else rows.idempotency_key(after)
    found = await connections.fetch(KEYS, *beyond, limit, max_bytes)
    return [rows.idempotency_record(_without_place(row)) for row in found]


def _stored_session(row: Any) -> StoredSession:
    values = tuple(row)
    record = rows.session_record(values[: rows.SESSION_WIDTH])
    return StoredSession(record, rows.session_head(record.key, record.log_id, values[rows.SESSION_WIDTH :]))


def _request(row: Any) -> RequestRecord:
    *values, input, output, failure = _without_place(row)
    return rows.request_record(tuple(values), input, output, failure)


def _without_place(row: Any) -> Row:
    """Without the two columns that bound the page."""
    return tuple(row)[:-2]
