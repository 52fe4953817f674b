"""The reads. Each is one statement, hence one round trip and one snapshot."""

from __future__ import annotations

from collections.abc import Iterable

from flowstate_server.model.clock import Micros
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionHead,
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
from flowstate_server.stores.postgres import rows
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.loading import TIME
from flowstate_server.stores.postgres.statements import arrays, columns, together
from flowstate_server.stores.tables.numbers import ITEM_DONE, Row, state_key

SESSION = (
    f"SELECT {rows.SESSION} FROM flowstate.sessions s"
    " WHERE s.tenant = $1 AND s.session_id = $2 AND NOT s.replaced"
)
REQUEST = (
    f"SELECT {rows.REQUEST_HEAD}, {rows.REQUEST_REST}, r.input, o.output, o.failure FROM {rows.REQUEST_HEAD_FROM}"
    " LEFT JOIN flowstate.outcomes o ON o.request = r.request WHERE r.tenant = $1 AND r.request_id = $2"
)
_STATE_TYPES = ("smallint", "text", "text", "text")


def _states(first: int) -> str:
    return (
        f"SELECT {rows.STATE} FROM {arrays(first, _STATE_TYPES)} AS k(kind, tenant, id, flow_kind)"
        " JOIN flowstate.states t"
        " ON t.kind = k.kind AND t.tenant = k.tenant AND t.id = k.id AND t.flow_kind = k.flow_kind"
    )


STATES = _states(1)

EVENT_PAGE = (
    f"SELECT {rows.EVENT}, i.item_index, i.kind, i.audiences AS item_audiences, i.item_id, i.role, i.name, i.content,"
    " count(*) OVER () AS found, row_number() OVER by_sequence AS number,"
    " sum(octet_length(e.payload) + coalesce(octet_length(i.content), 0)) OVER by_sequence AS size"
    " FROM (SELECT * FROM flowstate.events WHERE request = (SELECT request FROM flowstate.requests"
    " WHERE tenant = $1 AND request_id = $2) AND sequence > $3 ORDER BY sequence LIMIT $4 + 1) e"
    " LEFT JOIN flowstate.items i"
    f" ON e.type = {ITEM_DONE} AND i.log = e.log AND i.session_sequence = e.session_sequence"
    " WINDOW by_sequence AS (ORDER BY e.sequence)"
)
EVENTS = together(
    (
        (
            0,
            f"SELECT {rows.REQUEST_HEAD} FROM {rows.REQUEST_HEAD_FROM} WHERE r.tenant = $1 AND r.request_id = $2",
        ),
        # Documents are read of the rows that are left only.
        (
            1,
            "SELECT session_sequence, sequence, type, audiences, transient, time, block_path, payload, item_index,"
            f" kind, item_audiences, item_id, role, name, content, found FROM ({EVENT_PAGE}) p"
            " WHERE number = 1 OR (number <= $4 AND size <= $5) ORDER BY number",
        ),
    )
)
TURNS = (
    f"SELECT i.session_sequence, i.time, r.request_id, {rows.ITEM} FROM flowstate.sessions s"
    " JOIN flowstate.session_heads c ON c.log = s.log"
    " JOIN flowstate.request_heads h ON h.log = s.log AND h.turn > 0 AND h.turn > c.turns - $4"
    " JOIN flowstate.items i ON i.request = h.request JOIN flowstate.requests r ON r.request = h.request"
    " WHERE s.tenant = $1 AND s.session_id = $2 AND NOT s.replaced AND s.log_id = $3 ORDER BY i.session_sequence"
)
PROJECTION = together(
    (
        (
            0,
            f"SELECT {rows.SESSION}, {rows.SESSION_HEAD} FROM flowstate.sessions s"
            " JOIN flowstate.session_heads h ON h.log = s.log"
            " WHERE s.tenant = $1 AND s.session_id = $2 AND NOT s.replaced",
        ),
        (
            1,
            f"SELECT {rows.REQUEST_HEAD} FROM {rows.REQUEST_HEAD_FROM} WHERE h.status = 0 AND h.log ="
            " (SELECT log FROM flowstate.sessions WHERE tenant = $1 AND session_id = $2 AND NOT replaced)"
            " ORDER BY r.create_time, h.request",
        ),
        (2, _states(3)),
        (3, TIME),
    )
)
UNFINISHED = (
    f"SELECT {rows.REQUEST_HEAD}, {rows.REQUEST_REST} FROM {rows.REQUEST_HEAD_FROM}"
    " WHERE h.status = 0 AND h.process = $1 ORDER BY h.request LIMIT $2"
)
CANCELLED = (
    f"SELECT {rows.REQUEST_HEAD} FROM {rows.REQUEST_HEAD_FROM}"
    " WHERE h.status = 0 AND h.process = $1 AND h.cancel_reason IS NOT NULL ORDER BY h.request"
)
PROCESSES = f"SELECT {rows.PROCESS} FROM flowstate.processes ORDER BY process"


async def time(connections: Connections) -> Micros:
    [(found,)] = await connections.fetch(TIME)
    return int(found)


async def get_session(connections: Connections, key: SessionKey) -> SessionRecord | None:
    for row in await connections.fetch(SESSION, *key):
        return understood_one(key, tuple(row), rows.session_record)
    return None


async def list_sessions(
    connections: Connections, which: SessionFilter, limit: int, after: SessionPosition | None
) -> list[ListedSession]:
    listed: list[ListedSession] = []
    while True:
        query, values = sessions_query(which, limit, after)
        found = [tuple(row) for row in await connections.fetch(query, *values)]
        listed += those_understood(found, rows.session_key, _listed)
        if len(listed) >= limit or len(found) < limit:
            return listed[:limit]
        after = rows.listed_place(found[-1])


def _listed(row: Row) -> ListedSession:
    return ListedSession(rows.session_record(row[: rows.SESSION_WIDTH]), row[rows.SESSION_WIDTH])


def sessions_query(which: SessionFilter, limit: int, after: SessionPosition | None) -> tuple[str, Row]:
    """Ephemeral sessions are a list of their own in each index, merged into the others when asked for."""
    conditions = ["s.tenant = $1"]
    values: list[object] = [which.tenant, limit]
    for column in ("flow_kind", "user_id", "org_id"):
        value = getattr(which, column)
        if value is not None:
            values.append(value)
            conditions.append(f"s.{column} = ${len(values)}")
    if which.org_id:
        conditions.append("s.org_id <> ''")
    if after is not None:
        values += (after.create_time, after.session_id)
        conditions.append(f"(s.create_time, s.session_id) < (${len(values) - 1}, ${len(values)})")
    lists = [
        f"(SELECT {rows.SESSION}, h.activity_time FROM flowstate.sessions s"
        " JOIN flowstate.session_heads h ON h.log = s.log"
        f" WHERE NOT s.replaced AND s.delete_time = 0 AND s.ephemeral = {ephemeral} AND {' AND '.join(conditions)}"
        " ORDER BY s.create_time DESC, s.session_id DESC LIMIT $2)"
        for ephemeral in (("false", "true") if which.include_ephemeral else ("false",))
    ]
    query = " UNION ALL ".join(lists)
    if len(lists) > 1:
        query += " ORDER BY create_time DESC, session_id DESC LIMIT $2"
    return query, tuple(values)


async def get_request(connections: Connections, key: RequestKey) -> RequestRecord | None:
    for row in await connections.fetch(REQUEST, *key):
        return understood_one(key, tuple(row), lambda row: rows.request_record(row[:-3], *row[-3:]))
    return None


async def load_states(connections: Connections, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
    states = {key: StateRecord(key) for key in keys}
    for row in await connections.fetch(STATES, *_values(states)):
        record = rows.state_record(tuple(row))
        states[record.key] = record
    return states


def _values(keys: Iterable[ScopeKey]) -> list[object]:
    return [*columns([state_key(key) for key in keys], len(_STATE_TYPES))]


async def read_events(
    connections: Connections, request: RequestKey, after: int, limit: int, max_bytes: int
) -> EventPage | None:
    head: RequestHead | None = None
    rows_found: list[Row] = []
    for part, row in await connections.fetch(EVENTS, *request, after, limit, max_bytes):
        if part == 0:
            head = rows.request_head(row)
        else:
            rows_found.append(row)
    if head is None:
        return None
    session, log_id = head.session, head.session_log_id
    events = tuple(
        understood(
            rows_found,
            lambda row: (*request, row[1]),
            lambda row: rows.event_record(row, session, log_id, request.request_id),
        )
    )
    whole = not rows_found or rows_found[-1][-1] <= len(events)
    return EventPage(events, head, head.sequence if whole else events[-1].sequence)


async def read_turns(
    connections: Connections, session: SessionKey, log_id: str, newest: int
) -> list[ItemRecord]:
    found = await connections.fetch(TURNS, *session, log_id, newest)
    items = understood(
        found, lambda row: (*session, row[0]), lambda row: rows.item_record(tuple(row), session, log_id)
    )
    return [*items]


async def read_projection(
    connections: Connections, session: SessionKey, scopes: Iterable[ScopeKey]
) -> Projection | None:
    states = {key: StateRecord(key) for key in scopes}
    active: list[RequestHead] = []
    record: SessionRecord | None = None
    head: SessionHead | None = None
    time = 0
    for part, row in await connections.fetch(PROJECTION, *session, *_values(states)):
        if part == 0:
            record = understood_one(session, row[: rows.SESSION_WIDTH], rows.session_record)
            head = rows.session_head(session, record.log_id, row[rows.SESSION_WIDTH :])
        elif part == 1:
            active.append(rows.request_head(row))
        elif part == 2:
            state = rows.state_record(row)
            states[state.key] = state
        else:
            time = row[0]
    if record is None or head is None or record.deleted:
        return None
    return Projection(record, head, states, tuple(active), time)


async def read_processes(connections: Connections) -> list[ProcessRecord]:
    return [rows.process_record(tuple(row)) for row in await connections.fetch(PROCESSES)]


async def read_running(connections: Connections, process: str, limit: int) -> list[RequestRecord]:
    found = [tuple(row) for row in await connections.fetch(UNFINISHED, process, limit)]
    return [*those_understood(found, lambda row: RequestKey(*row[2:4]), rows.request_record)]


async def read_cancelled(connections: Connections, process: str) -> list[RequestHead]:
    return [rows.request_head(tuple(row)) for row in await connections.fetch(CANCELLED, process)]
