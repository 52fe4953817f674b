"""The reads. Each is one statement, hence one round trip and one snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange, encoded_bounds
from flowstate_server.model.events import LogHead
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import LogKey, RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.backend import MAX_DOCUMENT_BYTES, Reads
from flowstate_server.stores.contract.pages import those_understood, understood, understood_one
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.statements import (
    DOCUMENT_KEYS,
    STATE_KEYS,
    TIME,
    page,
    together,
)
from flowstate_server.stores.postgres.store_clock import StoreClock
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import ITEM_DONE, Row

SESSIONS_FROM = "flowstate.sessions s JOIN flowstate.session_heads c ON c.log = s.log"
REQUESTS_FROM = (
    "flowstate.request_heads h JOIN flowstate.requests r ON r.request = h.request"
    " JOIN flowstate.sessions s ON s.log = h.log"
)
OUTCOMES_FROM = f"{REQUESTS_FROM} LEFT JOIN flowstate.outcomes o ON o.request = r.request"
EVENTS_FROM = (
    "LEFT JOIN flowstate.requests r ON r.request = e.request LEFT JOIN flowstate.items i"
    f" ON e.type = {ITEM_DONE} AND i.log = e.log AND i.session_sequence = e.session_sequence"
)
EVENT = f"r.request_id, e.session_sequence, {rows.EVENT}, {rows.ITEM}"
EVENT_BYTES = "octet_length(e.payload) + coalesce(octet_length(i.content), 0)"
_THIS_SESSION = "s.tenant = $1 AND s.session_id = $2 AND NOT s.replaced"
_THIS_REQUEST = "r.tenant = $1 AND r.request_id = $2"
_LOG = f"SELECT s.log FROM flowstate.sessions s WHERE {_THIS_SESSION}"

SESSION = f"SELECT {rows.SESSION} FROM flowstate.sessions s WHERE {_THIS_SESSION}"
REQUEST = f"SELECT {rows.REQUEST} FROM {OUTCOMES_FROM} WHERE {_THIS_REQUEST}"
STATES = f"SELECT {rows.STATE} FROM {STATE_KEYS.found(1, 't')}"
DOCUMENTS = together(((0, f"SELECT {rows.DOCUMENT} FROM {DOCUMENT_KEYS.found(1, 'd')}"), (1, TIME)))


def _document_page(order: str) -> str:
    # A window can't be asked for in an order that is given as a parameter, nor an index be followed in one.
    source = (
        f"(SELECT * FROM flowstate.documents WHERE key >= $1 AND key < $2 AND present"
        f" AND (expire_time = 0 OR expire_time > greatest($5, ({TIME}))) ORDER BY key {order} LIMIT $3) d"
    )
    return page(rows.DOCUMENT, source, f"d.key {order}", "octet_length(d.text)", "$3", "$4")


DOCUMENTS_FORWARD = _document_page("ASC")
DOCUMENTS_BACKWARD = _document_page("DESC")


def _event_page(log: str, sequence: str) -> str:
    source = (
        f"(SELECT * FROM flowstate.events WHERE {log} AND {sequence} > $3 ORDER BY {sequence} LIMIT $4 + 1) e"
        f" {EVENTS_FROM}"
    )
    return page(EVENT, source, f"e.{sequence}", EVENT_BYTES, "$4", "$5")


EVENTS_OF_REQUEST = together(
    (
        (0, f"SELECT {rows.REQUEST_HEAD} FROM {REQUESTS_FROM} WHERE {_THIS_REQUEST}"),
        (
            1,
            _event_page(
                f"request = (SELECT r.request FROM flowstate.requests r WHERE {_THIS_REQUEST})", "sequence"
            ),
        ),
    )
)
EVENTS_OF_SESSION = together(
    (
        (0, f"SELECT {rows.SESSION}, {rows.SESSION_HEAD} FROM {SESSIONS_FROM} WHERE {_THIS_SESSION}"),
        (1, _event_page(f"log = ({_LOG})", "session_sequence")),
    )
)
TURNS = (
    f"SELECT i.session_sequence, i.time, r.request_id, u.number, {rows.ITEM}"
    f" FROM (SELECT * FROM flowstate.turns WHERE log = ({_LOG} AND s.log_id = $3) ORDER BY number DESC LIMIT $4) u"
    " LEFT JOIN flowstate.requests r ON r.request = u.request CROSS JOIN LATERAL"
    " (SELECT * FROM flowstate.items WHERE request = u.request UNION ALL"
    " SELECT * FROM flowstate.items WHERE u.request IS NULL AND log = u.log"
    " AND session_sequence BETWEEN u.first AND u.last) i ORDER BY u.number, i.item_index, i.session_sequence"
)
PROJECTION = together(
    (
        (0, f"SELECT {rows.SESSION}, {rows.SESSION_HEAD} FROM {SESSIONS_FROM} WHERE {_THIS_SESSION}"),
        (
            1,
            f"SELECT {rows.REQUEST_HEAD} FROM {REQUESTS_FROM} WHERE h.open AND h.log = ({_LOG})"
            " ORDER BY r.create_time, h.request",
        ),
        (2, f"SELECT {rows.STATE} FROM {STATE_KEYS.found(3, 't')}"),
        (3, f"SELECT {rows.DOCUMENT} FROM {DOCUMENT_KEYS.found(3 + STATE_KEYS.width, 'd')}"),
        (4, TIME),
    )
)
OPEN_REQUESTS = (
    f"SELECT {rows.REQUEST_HEAD}, {rows.REQUEST_REST} FROM {REQUESTS_FROM}"
    " WHERE h.status = 0 AND h.process = $1 ORDER BY h.request LIMIT $2"
)
CANCELLED = (
    f"SELECT {rows.REQUEST_HEAD} FROM {REQUESTS_FROM}"
    " WHERE h.status = 0 AND h.process = $1 AND h.cancel_reason IS NOT NULL ORDER BY h.request"
)
PROCESSES = f"SELECT {rows.PROCESS} FROM flowstate.processes p ORDER BY p.process"


class PostgresReads(Reads):
    def __init__(self, connections: Connections, clock: StoreClock) -> None:
        self._connections = connections
        self._clock = clock

    async def time(self) -> Micros:
        [(found,)] = await self._fetch(TIME)
        return self._clock.seen(int(found))

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        for row in await self._fetch(SESSION, *key):
            return understood_one(key, row, rows.session_record)
        return None

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> Sequence[ListedSession]:
        listed: list[ListedSession] = []
        while True:
            query, values = sessions_query(which, limit, after)
            found = await self._fetch(query, *values)
            listed += those_understood(found, rows.session_key, _listed)
            if len(listed) >= limit or len(found) < limit:
                return listed[:limit]
            after = rows.listed_place(found[-1])

    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        for row in await self._fetch(REQUEST, *key):
            return understood_one(key, row, rows.whole_request)
        return None

    async def load_states(self, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
        states = {key: StateRecord(key) for key in keys}
        for row in await self._fetch(STATES, *STATE_KEYS.values(states)):
            record = rows.state_record(row)
            states[record.key] = record
        return states

    async def load_documents(self, keys: Iterable[DocumentKey]) -> dict[DocumentKey, Document]:
        *found, (_, (time,)) = await self._fetch(DOCUMENTS, *DOCUMENT_KEYS.values(keys))
        return _existing([rows.document(row) for _, row in found], self._clock.seen(time))

    async def read_documents(
        self, which: DocumentRange, *, max_bytes: int = MAX_DOCUMENT_BYTES
    ) -> Sequence[Document]:
        query = DOCUMENTS_BACKWARD if which.descending else DOCUMENTS_FORWARD
        bounds = encoded_bounds(which)
        found = await self._fetch(query, *bounds, which.limit, max_bytes, self._clock.latest)
        return [*understood(found, lambda row: row[0], lambda row: rows.document(row[:-3]))]

    async def read_events(self, log: LogKey, *, after: int, limit: int, max_bytes: int) -> EventPage | None:
        of_request = isinstance(log, RequestKey)
        query = EVENTS_OF_REQUEST if of_request else EVENTS_OF_SESSION
        found = await self._fetch(query, *log, after, limit, max_bytes)
        if not found or found[0][0] != 0:
            return None
        (_, first), *rest = found
        if of_request:
            request = understood_one(log, first, rows.request_head)
            return _event_page_of(
                log, rest, rows.request_log_head(request), request.session, request.session_log_id
            )
        session = understood_one(log, first[: rows.SESSION_WIDTH], rows.session_record)
        counters = rows.session_head(session.key, session.log_id, first[rows.SESSION_WIDTH :])
        head = rows.session_log_head(session, counters)
        return _event_page_of(log, rest, head, session.key, session.log_id)

    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        found = await self._fetch(TURNS, *session, log_id, newest)
        return [
            *understood(
                found, lambda row: (*session, row[0]), lambda row: rows.item_record(row, session, log_id)
            )
        ]

    async def read_projection(
        self, session: SessionKey, scopes: Iterable[ScopeKey], documents: Iterable[DocumentKey] = ()
    ) -> Projection | None:
        states = {key: StateRecord(key) for key in scopes}
        values = (*STATE_KEYS.values(states), *DOCUMENT_KEYS.values(documents))
        parts: tuple[list[Any], ...] = ([], [], [], [], [])
        for part, row in await self._fetch(PROJECTION, *session, *values):
            parts[part].append(row)
        sessions, active, found_states, found_documents, [(time,)] = parts
        if not sessions:
            return None
        [first] = sessions
        record = understood_one(session, first[: rows.SESSION_WIDTH], rows.session_record)
        if record.deleted:
            return None
        states |= {state.key: state for state in map(rows.state_record, found_states)}
        time = self._clock.seen(time)
        return Projection(
            record,
            rows.session_head(session, record.log_id, first[rows.SESSION_WIDTH :]),
            states,
            tuple(map(rows.request_head, active)),
            time,
            _existing(map(rows.document, found_documents), time),
        )

    async def read_processes(self) -> Sequence[ProcessRecord]:
        return [rows.process_record(row) for row in await self._fetch(PROCESSES)]

    async def read_running(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        found = await self._fetch(OPEN_REQUESTS, process, limit)
        return [*those_understood(found, lambda row: RequestKey(*row[2:4]), rows.request_record)]

    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        return [rows.request_head(row) for row in await self._fetch(CANCELLED, process)]

    async def _fetch(self, query: str, *values: object) -> list[Row]:
        return [tuple(row) for row in await self._connections.fetch(query, *values)]


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
        f"(SELECT {rows.SESSION}, c.activity_time FROM {SESSIONS_FROM}"
        f" WHERE NOT s.replaced AND s.delete_time = 0 AND s.ephemeral = {ephemeral} AND {' AND '.join(conditions)}"
        " ORDER BY s.create_time DESC, s.session_id DESC LIMIT $2)"
        for ephemeral in (("false", "true") if which.include_ephemeral else ("false",))
    ]
    query = " UNION ALL ".join(lists)
    if len(lists) > 1:
        query += " ORDER BY create_time DESC, session_id DESC LIMIT $2"
    return query, tuple(values)


def _listed(row: Row) -> ListedSession:
    return ListedSession(rows.session_record(row[: rows.SESSION_WIDTH]), row[rows.SESSION_WIDTH])


def _existing(documents: Iterable[Document], time: Micros) -> dict[DocumentKey, Document]:
    return {document.key: document for document in documents if document.exists(time)}


def _event_page_of(
    log: LogKey, found: list[Row], head: LogHead, session: SessionKey, log_id: str
) -> EventPage:
    """From the rows of ``_event_page``, each after its part."""
    place = 2 if isinstance(log, RequestKey) else 1
    events = tuple(
        understood(
            (row for _, row in found),
            lambda row: (*log, row[place]),
            lambda row: event_record(row, session, log_id),
        )
    )
    if not events or found[-1][1][-3] <= len(events):
        return EventPage(events, head, head.sequence)
    last = events[-1]
    return EventPage(events, head, last.sequence if isinstance(log, RequestKey) else last.session_sequence)


def event_record(row: Row, session: SessionKey, log_id: str) -> Any:
    """From the columns ``EVENT``."""
    return rows.event_record(row[1:], session, log_id, row[0] or "")
