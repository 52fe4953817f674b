"""The reads. Each runs as a whole in one transaction, hence on one snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange
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
from flowstate_server.stores.contract.pages import event_page, understood, understood_one
from flowstate_server.stores.contract.reads import EventPage, Projection
from flowstate_server.stores.sqlite import documents, lists
from flowstate_server.stores.sqlite.dialect import in_sqlite
from flowstate_server.stores.sqlite.places import EVENT_SEQUENCE, ITEM_SEQUENCE, place_of, start_of
from flowstate_server.stores.sqlite.reader import Reader
from flowstate_server.stores.tables import queries, rows
from flowstate_server.stores.tables.numbers import ITEM_DONE, Row, state_key
from flowstate_server.stores.tables.reads import TableReads
from flowstate_server.stores.tables.session_queries import SessionQueries

P = ParamSpec("P")
T = TypeVar("T")

SESSION_WITH_HEAD = in_sqlite(queries.SESSION_WITH_HEAD)
REQUEST_HEAD = in_sqlite(queries.REQUEST_HEAD)
KNOWN_REQUEST_HEAD = in_sqlite(queries.KNOWN_REQUEST_HEAD)
OPEN_IN_SESSION = in_sqlite(
    f"SELECT {rows.REQUEST_HEAD} FROM {queries.HEADS} WHERE h.open AND h.log = $1 ORDER BY h.request"
)
_OF_STATE = "FROM states t WHERE t.kind = ? AND t.tenant = ? AND t.id = ? AND t.flow_kind = ?"
STATE = in_sqlite(f"SELECT t.state, {rows.STATE} {_OF_STATE}")
KEPT_STATE = f"SELECT t.state, {rows.KEPT_STATE} {_OF_STATE}"
STATE_HEAD = f"SELECT t.state, {rows.STATE_HEAD} {_OF_STATE}"
STATE_PARTS = in_sqlite(f"SELECT {rows.STATE_PARTS} FROM states t WHERE t.state = ?")
_ITEM_OF_EVENT = f"LEFT JOIN items i ON e.type = {ITEM_DONE} AND i.place = e.place"
_EVENTS = f"{EVENT_SEQUENCE}, {rows.EVENT} FROM events e {_ITEM_OF_EVENT}"
REQUEST_EVENTS = f"SELECT ?, {_EVENTS} WHERE e.request = ? AND e.sequence > ? ORDER BY e.sequence LIMIT ?"
SESSION_EVENTS = (
    f"SELECT r.request_id, {_EVENTS} LEFT JOIN requests r ON r.request = e.request"
    " WHERE e.place > ? AND e.place < ? ORDER BY e.place LIMIT ?"
)
_ITEM = f"SELECT {ITEM_SEQUENCE}, i.time, {{}}, u.number, {rows.ITEM}"
_NEWEST = (
    "FROM sessions s CROSS JOIN turns u ON u.log = s.log AND u.number >= coalesce("
    "(SELECT number FROM turns WHERE log = s.log ORDER BY number DESC LIMIT 1 OFFSET ?4 - 1), 0)"
)
_THIS_LOG = in_sqlite(f"{queries.THIS_SESSION} AND s.log_id = $3")
TURN_ITEMS = (
    f"{_ITEM.format('r.request_id')} {_NEWEST} CROSS JOIN items i ON i.request = u.request AND NOT i.removed"
    f" CROSS JOIN requests r ON r.request = u.request WHERE {_THIS_LOG}"
    f" UNION ALL {_ITEM.format('NULL')} {_NEWEST} CROSS JOIN items i"
    f" ON i.place >= {start_of('u.log')} + u.first AND i.place <= {start_of('u.log')} + u.last AND NOT i.removed"
    f" WHERE {_THIS_LOG} AND u.request IS NULL"
)
NEWEST_TIME = (
    "SELECT max((SELECT coalesce(max(renew_time), 0) FROM processes),"
    " coalesce((SELECT time FROM commits ORDER BY id DESC LIMIT 1), 0))"
)


def _on_snapshot(
    method: Callable[Concatenate[SqliteReads, sqlite3.Cursor, P], T],
) -> Callable[Concatenate[SqliteReads, P], Coroutine[Any, Any, T]]:
    async def run(self: SqliteReads, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.reader.run(lambda cursor: method(self, cursor, *args, **kwargs))

    return run


class SqliteReads(TableReads):
    turns = TURN_ITEMS
    lists = SessionQueries(
        hint="INDEXED BY {}", join="JOIN flowstate.{table} {letter} ON {letter}.log = {before}.log"
    )

    def __init__(self, reader: Reader, clock: ForwardClock) -> None:
        self.reader = reader
        self._clock = clock

    @_on_snapshot
    def fetch(self, cursor: sqlite3.Cursor, query: str, *values: object) -> list[Row]:
        return cursor.execute(in_sqlite(query), values).fetchall()

    async def time(self) -> Micros:
        return self._clock.now()

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        return await self.reader.run(_states, tuple(keys))

    async def load_documents(self, keys: Iterable[DocumentKey]) -> Mapping[DocumentKey, Document]:
        return await self.reader.run(documents.load, tuple(keys), self._clock)

    @_on_snapshot
    def read_documents(
        self, cursor: sqlite3.Cursor, which: DocumentRange, *, max_bytes: int = MAX_DOCUMENT_BYTES
    ) -> Sequence[Document]:
        return documents.read_page(cursor, which, self._clock.now(), max_bytes)

    @_on_snapshot
    def read_events(
        self, cursor: sqlite3.Cursor, log: LogKey, *, after: int, limit: int, max_bytes: int
    ) -> EventPage | None:
        query = REQUEST_HEAD if isinstance(log, RequestKey) else SESSION_WITH_HEAD
        row = cursor.execute(query, log).fetchone()
        if row is None:
            return None
        known = rows.log_of(log, row)
        if isinstance(log, RequestKey):
            found = cursor.execute(REQUEST_EVENTS, (log.request_id, known.number, after, limit + 1))
        else:
            between = place_of(known.number, after), place_of(known.number + 1, 0)
            found = cursor.execute(SESSION_EVENTS, (*between, limit + 1))
        return event_page(rows.events_of(log, known, found), log, known.head, limit, max_bytes)

    async def list_items(
        self, which: ItemRange, *, limit: int, max_bytes: int, after: ItemPosition | None = None
    ) -> ItemPage | None:
        return await self.reader.run(lists.list_items, which, after, limit, max_bytes)

    async def list_requests(
        self, which: RequestFilter, *, limit: int, max_bytes: int, after: RequestPosition | None = None
    ) -> RequestPage:
        return await self.reader.run(lists.list_requests, which, after, limit, max_bytes)

    async def read_projection(
        self, session: SessionKey, scopes: Iterable[ScopeKey], documents: Iterable[DocumentKey] = ()
    ) -> Projection | None:
        return await self.reader.run(_projection, session, tuple(scopes), tuple(documents), self._clock)


def newest_time(cursor: sqlite3.Cursor) -> Micros:
    """The newest time stored that is found at once, 0 in an empty store."""
    [(newest,)] = cursor.execute(NEWEST_TIME).fetchall()
    return Micros(int(newest))


def _states(cursor: sqlite3.Cursor, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
    found: dict[ScopeKey, StateRecord] = {}
    for key in keys:
        row = cursor.execute(STATE, state_key(key)).fetchone()
        found[key] = StateRecord(key) if row is None else understood_one(key, row[1:], rows.state_record)
    return found


def _projection(
    cursor: sqlite3.Cursor,
    session: SessionKey,
    scopes: Iterable[ScopeKey],
    wanted: Iterable[DocumentKey],
    clock: ForwardClock,
) -> Projection | None:
    row = cursor.execute(SESSION_WITH_HEAD, session).fetchone()
    if row is None:
        return None
    log, record, head = rows.session_with_head(row)
    if record.deleted:
        return None
    active = understood(
        cursor.execute(OPEN_IN_SESSION, (log,)).fetchall(), rows.request_key, rows.request_head
    )
    return Projection(
        session=record,
        head=head,
        states=_states(cursor, scopes),
        active=tuple(active),
        time=clock.now(),
        documents=documents.load(cursor, wanted, clock),
    )
