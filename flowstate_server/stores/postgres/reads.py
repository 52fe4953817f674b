"""The reads. Each is one statement, hence one round trip and one snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange, encoded_bounds
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import LogKey, RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.backend import MAX_DOCUMENT_BYTES
from flowstate_server.stores.contract.lists import (
    ItemPage,
    ItemPosition,
    ItemRange,
    RequestFilter,
    RequestPage,
    RequestPosition,
)
from flowstate_server.stores.contract.pages import understood
from flowstate_server.stores.contract.reads import EventPage, Projection
from flowstate_server.stores.postgres import documents as shelf, lists
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.statements import DOCUMENT_KEYS, STATE_KEYS, TIME, page, together
from flowstate_server.stores.postgres.store_clock import StoreClock
from flowstate_server.stores.tables import queries, request_lists, rows
from flowstate_server.stores.tables.numbers import ITEM_DONE, Row
from flowstate_server.stores.tables.reads import TableReads
from flowstate_server.stores.tables.session_queries import SessionQueries

EVENTS_FROM = (
    "LEFT JOIN flowstate.requests r ON r.request = e.request LEFT JOIN flowstate.items i"
    f" ON e.type = {ITEM_DONE} AND i.log = e.log AND i.session_sequence = e.session_sequence"
)
EVENT_BYTES = "octet_length(e.payload) + coalesce(octet_length(i.content), 0)"
_LOG = f"SELECT s.log FROM flowstate.sessions s WHERE {queries.THIS_SESSION}"
_REQUEST = f"SELECT r.request FROM flowstate.requests r WHERE {queries.THIS_REQUEST}"

STATES = f"SELECT {rows.STATE} FROM {STATE_KEYS.found(1, 't')}"


def open_requests(logs: str) -> str:
    return (
        f"SELECT {rows.REQUEST_HEAD} FROM {queries.HEADS} WHERE h.open AND h.log = {logs}"
        " ORDER BY r.create_time, h.request"
    )


def _event_page(log: str, sequence: str) -> str:
    source = (
        f"(SELECT * FROM flowstate.events WHERE {log} AND {sequence} > $3 ORDER BY {sequence} LIMIT $4 + 1) e"
        f" {EVENTS_FROM}"
    )
    names = f"r.request_id, e.session_sequence, {rows.EVENT}"
    return page(names, source, f"e.{sequence}", EVENT_BYTES, "$4", "$5")


EVENTS_OF_REQUEST = together(
    ((0, queries.REQUEST_HEAD), (1, _event_page(f"request = ({_REQUEST})", "sequence")))
)
EVENTS_OF_SESSION = together(
    ((0, queries.SESSION_WITH_HEAD), (1, _event_page(f"log = ({_LOG})", "session_sequence")))
)
TURNS = (
    f"SELECT i.session_sequence, i.time, r.request_id, u.number, {rows.ITEM}"
    f" FROM (SELECT * FROM flowstate.turns WHERE log = ({_LOG} AND s.log_id = $3) ORDER BY number DESC LIMIT $4) u"
    " LEFT JOIN flowstate.requests r ON r.request = u.request CROSS JOIN LATERAL"
    " (SELECT * FROM flowstate.items WHERE request = u.request UNION ALL"
    " SELECT * FROM flowstate.items WHERE u.request IS NULL AND log = u.log"
    " AND session_sequence BETWEEN u.first AND u.last) i WHERE NOT i.removed"
)
PROJECTION = together(
    (
        (0, queries.SESSION_WITH_HEAD),
        (1, open_requests(f"({_LOG})")),
        (2, f"SELECT {rows.STATE} FROM {STATE_KEYS.found(3, 't')}"),
        (3, f"SELECT {rows.DOCUMENT} FROM {DOCUMENT_KEYS.found(3 + STATE_KEYS.width, 'd')}"),
        (4, TIME),
    )
)


class PostgresReads(TableReads):
    turns = TURNS
    # OFFSET 0 keeps the planner from reading the tables in another order, or each as a whole.
    lists = SessionQueries(
        hint="",
        join=(
            "CROSS JOIN LATERAL (SELECT * FROM flowstate.{table} WHERE log = {before}.log OFFSET 0) {letter}"
        ),
    )

    def __init__(self, connections: Connections, clock: StoreClock) -> None:
        self._connections = connections
        self._clock = clock

    async def time(self) -> Micros:
        [(found,)] = await self.fetch(TIME)
        return self._clock.seen(Micros(int(found)))

    async def load_states(self, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
        states = {key: StateRecord(key) for key in keys}
        for row in await self.fetch(STATES, *STATE_KEYS.values(states)):
            record = rows.state_record(row)
            states[record.key] = record
        return states

    async def load_documents(self, keys: Iterable[DocumentKey]) -> dict[DocumentKey, Document]:
        *found, (_, (time,)) = await self.fetch(shelf.DOCUMENTS, *DOCUMENT_KEYS.values(keys))
        return shelf.existing([rows.document(row) for _, row in found], self._clock.seen(time))

    async def read_documents(
        self, which: DocumentRange, *, max_bytes: int = MAX_DOCUMENT_BYTES
    ) -> Sequence[Document]:
        query = shelf.RANGE_DOWN if which.descending else shelf.RANGE_UP
        bounds = encoded_bounds(which)
        found = await self.fetch(query, *bounds, which.limit, max_bytes, self._clock.latest)
        return [*understood(found, lambda row: row[0], lambda row: rows.document(row[:-3]))]

    async def read_events(self, log: LogKey, *, after: int, limit: int, max_bytes: int) -> EventPage | None:
        query = EVENTS_OF_REQUEST if isinstance(log, RequestKey) else EVENTS_OF_SESSION
        found = await self.fetch(query, *log, after, limit, max_bytes)
        if not found or found[0][0] != 0:
            return None
        (_, first), *rest = found
        known = rows.log_of(log, first)
        events = tuple(rows.events_of(log, known, [row[:-3] for _, row in rest]))
        if not events or rest[-1][1][-3] <= len(events):
            return EventPage(events, known.head, known.head.sequence)
        last = events[-1]
        end = last.sequence if isinstance(log, RequestKey) else last.session_sequence
        return EventPage(events, known.head, end)

    async def list_items(
        self, which: ItemRange, *, limit: int, max_bytes: int, after: ItemPosition | None = None
    ) -> ItemPage | None:
        query, values = lists.items_query(which, after, limit, max_bytes)
        return lists.items_found(await self.fetch(query, *values), which)

    async def list_requests(
        self, which: RequestFilter, *, limit: int, max_bytes: int, after: RequestPosition | None = None
    ) -> RequestPage:
        last = None
        scan = request_lists.scan_query(which, after)
        if scan is not None:
            query, values = scan
            last = next(map(request_lists.last_of_scan, await self.fetch(query, *values)), None)
        listed = request_lists.list_query(which, after, last)
        query, values = lists.requests_query(listed, limit, max_bytes)
        found = await self.fetch(query, *values)
        more = bool(found) and found[-1][-3] > len(found)
        return request_lists.request_page([row[:-3] for row in found], more, last)

    async def read_projection(
        self, session: SessionKey, scopes: Iterable[ScopeKey], documents: Iterable[DocumentKey] = ()
    ) -> Projection | None:
        states = {key: StateRecord(key) for key in scopes}
        values = (*STATE_KEYS.values(states), *DOCUMENT_KEYS.values(documents))
        parts: tuple[list[Any], ...] = ([], [], [], [], [])
        for part, row in await self.fetch(PROJECTION, *session, *values):
            parts[part].append(row)
        sessions, active, found_states, found_documents, [(time,)] = parts
        if not sessions:
            return None
        _, record, head = rows.session_with_head(sessions[0])
        if record.deleted:
            return None
        states |= {state.key: state for state in map(rows.state_record, found_states)}
        time = self._clock.seen(time)
        return Projection(
            record,
            head,
            states,
            tuple(map(rows.request_head, active)),
            time,
            shelf.existing(map(rows.document, found_documents), time),
        )

    async def fetch(self, query: str, *values: object) -> list[Row]:
        return [tuple(row) for row in await self._connections.fetch(query, *values)]
