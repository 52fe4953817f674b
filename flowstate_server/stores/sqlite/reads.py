"""The reads. Each runs as a whole in one transaction, hence on one snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.model.documents import (
    Document,
    DocumentKey,
    DocumentRange,
    encode_key,
    encoded_bounds,
)
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionHead,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import LogKey, RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.backend import MAX_DOCUMENT_BYTES, Reads
from flowstate_server.stores.contract.pages import (
    event_page,
    page_of,
    those_understood,
    understood,
    understood_one,
)
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.sqlite.places import EVENT_SEQUENCE, ITEM_SEQUENCE, place_of, start_of
from flowstate_server.stores.sqlite.reader import Reader
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import ITEM_DONE, Row, state_key

P = ParamSpec("P")
T = TypeVar("T")

SESSION = f"SELECT {rows.SESSION} FROM sessions s WHERE s.tenant = ? AND s.session_id = ? AND s.replaced = 0"
SESSION_WITH_HEAD = (
    f"SELECT s.log, {rows.SESSION_HEAD}, {rows.SESSION} FROM sessions s"
    " CROSS JOIN session_heads c ON c.log = s.log"
    " WHERE s.tenant = ? AND s.session_id = ? AND s.replaced = 0"
)
_REQUESTS = "FROM requests r CROSS JOIN request_heads h ON h.request = r.request CROSS JOIN sessions s ON s.log = h.log"
_HEADS = "FROM request_heads h CROSS JOIN requests r ON r.request = h.request CROSS JOIN sessions s ON s.log = h.log"
REQUEST_HEAD = f"SELECT {rows.REQUEST_HEAD} {_REQUESTS} WHERE r.tenant = ? AND r.request_id = ?"
REQUEST = (
    f"SELECT {rows.REQUEST} {_REQUESTS} LEFT JOIN outcomes o ON o.request = r.request"
    " WHERE r.tenant = ? AND r.request_id = ?"
)
OPEN_IN_SESSION = f"SELECT {rows.REQUEST_HEAD} {_HEADS} WHERE h.open = 1 AND h.log = ? ORDER BY h.request"
RUNNING = (
    f"SELECT {rows.REQUEST_HEAD}, {rows.REQUEST_REST} {_HEADS} WHERE h.status = 0 AND h.process = ?"
    " ORDER BY h.request LIMIT ?"
)
CANCELLED = (
    f"SELECT {rows.REQUEST_HEAD} {_HEADS}"
    " WHERE h.status = 0 AND h.process = ? AND h.cancel_reason IS NOT NULL ORDER BY h.request"
)
STATE = (
    f"SELECT {rows.STATE} FROM states t WHERE t.kind = ? AND t.tenant = ? AND t.id = ? AND t.flow_kind = ?"
)
DOCUMENT = f"SELECT {rows.DOCUMENT} FROM documents d WHERE d.key = ?"
DOCUMENTS = (
    f"SELECT d.document, {rows.DOCUMENT} FROM documents d WHERE d.key >= ? AND d.key < ?"
    " AND d.present = 1 AND (d.expire_time = 0 OR d.expire_time > ?) ORDER BY d.key"
)
DOCUMENTS_UP = f"{DOCUMENTS} LIMIT ?"
DOCUMENTS_DOWN = f"{DOCUMENTS} DESC LIMIT ?"
_EVENTS = (
    f"SELECT {EVENT_SEQUENCE}, {rows.EVENT}, {rows.ITEM}{{}} FROM events e"
    f" LEFT JOIN items i ON e.type = {ITEM_DONE} AND i.place = e.place"
)
REQUEST_EVENTS = f"{_EVENTS.format('')} WHERE e.request = ? AND e.sequence > ? ORDER BY e.sequence LIMIT ?"
SESSION_EVENTS = (
    f"{_EVENTS.format(', r.request_id')} LEFT JOIN requests r ON r.request = e.request"
    " WHERE e.place > ? AND e.place < ? ORDER BY e.place LIMIT ?"
)
_ITEM = f"{ITEM_SEQUENCE}, i.time, {{}}, u.number, {rows.ITEM} FROM turns u CROSS JOIN items i"
_NEWEST = (
    "u.log = ? AND u.number >= coalesce("
    "(SELECT number FROM turns WHERE log = ? ORDER BY number DESC LIMIT 1 OFFSET ?), 0)"
)
TURN_ITEMS = (
    f"SELECT {_ITEM.format('r.request_id')} ON i.request = u.request"
    f" CROSS JOIN requests r ON r.request = u.request WHERE {_NEWEST}"
    f" UNION ALL SELECT {_ITEM.format('NULL')}"
    f" ON i.place >= {start_of('u.log')} + u.first AND i.place <= {start_of('u.log')} + u.last"
    f" WHERE u.request IS NULL AND {_NEWEST}"
)
PROCESSES = f"SELECT {rows.PROCESS} FROM processes p ORDER BY p.process"
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


class SqliteReads(Reads):
    def __init__(self, reader: Reader, clock: ForwardClock) -> None:
        self.reader = reader
        self._clock = clock

    async def time(self) -> Micros:
        return self._clock.now()

    @_on_snapshot
    def get_session(self, cursor: sqlite3.Cursor, key: SessionKey) -> SessionRecord | None:
        row = cursor.execute(SESSION, key).fetchone()
        return None if row is None else understood_one(key, row, rows.session_record)

    @_on_snapshot
    def list_sessions(
        self,
        cursor: sqlite3.Cursor,
        which: SessionFilter,
        *,
        limit: int,
        after: SessionPosition | None = None,
    ) -> Sequence[ListedSession]:
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

    @_on_snapshot
    def get_request(self, cursor: sqlite3.Cursor, key: RequestKey) -> RequestRecord | None:
        row = cursor.execute(REQUEST, key).fetchone()
        return None if row is None else understood_one(key, row, rows.whole_request)

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        return await self.reader.run(_states, tuple(keys))

    async def load_documents(self, keys: Iterable[DocumentKey]) -> Mapping[DocumentKey, Document]:
        return await self.reader.run(_documents, tuple(keys), self._clock)

    @_on_snapshot
    def read_documents(
        self, cursor: sqlite3.Cursor, which: DocumentRange, *, max_bytes: int = MAX_DOCUMENT_BYTES
    ) -> Sequence[Document]:
        found = documents_in(cursor, which, self._clock.now())
        return page_of(those_understood(found, _encoded_key, document_in), which.limit, max_bytes)

    @_on_snapshot
    def read_events(
        self, cursor: sqlite3.Cursor, log: LogKey, *, after: int, limit: int, max_bytes: int
    ) -> EventPage | None:
        if isinstance(log, RequestKey):
            row = cursor.execute(REQUEST_HEAD, log).fetchone()
            if row is None:
                return None
            head = understood_one(log, row, rows.request_head)
            found = cursor.execute(REQUEST_EVENTS, (row[0], after, limit + 1))
            request_id, log_head = log.request_id, rows.request_log_head(head)
            records = understood(
                found,
                lambda row: (*log, row[1]),
                lambda row: rows.event_record(row, head.session, head.session_log_id, request_id),
            )
            return event_page(records, log, log_head, limit, max_bytes)
        session = _session_with_head(cursor, log)
        if session is None:
            return None
        number, record, session_head = session
        between = place_of(number, after), place_of(number + 1, 0)
        found = cursor.execute(SESSION_EVENTS, (*between, limit + 1))
        records = understood(
            found,
            lambda row: (*log, row[0]),
            lambda row: rows.event_record(row, log, record.log_id, row[-1] or ""),
        )
        return event_page(records, log, rows.session_log_head(record, session_head), limit, max_bytes)

    @_on_snapshot
    def read_turns(
        self, cursor: sqlite3.Cursor, session: SessionKey, log_id: str, *, newest: int
    ) -> Sequence[ItemRecord]:
        found = _session_with_head(cursor, session)
        if newest < 1 or found is None or found[1].log_id != log_id:
            return []
        which = found[0], found[0], newest - 1
        items = cursor.execute(TURN_ITEMS, (*which, *which)).fetchall()
        items.sort(key=_turn_order)
        return [
            *understood(
                items, lambda row: (*session, row[0]), lambda row: rows.item_record(row, session, log_id)
            )
        ]

    async def read_projection(
        self, session: SessionKey, scopes: Iterable[ScopeKey], documents: Iterable[DocumentKey] = ()
    ) -> Projection | None:
        return await self.reader.run(_projection, session, tuple(scopes), tuple(documents), self._clock)

    @_on_snapshot
    def read_processes(self, cursor: sqlite3.Cursor) -> Sequence[ProcessRecord]:
        return [rows.process_record(row) for row in cursor.execute(PROCESSES)]

    @_on_snapshot
    def read_running(self, cursor: sqlite3.Cursor, process: str, *, limit: int) -> Sequence[RequestRecord]:
        found = cursor.execute(RUNNING, (process, limit))
        return [*those_understood(found, _request_key, rows.request_record)]

    @_on_snapshot
    def read_cancelled(self, cursor: sqlite3.Cursor, process: str) -> Sequence[RequestHead]:
        return [*those_understood(cursor.execute(CANCELLED, (process,)), _request_key, rows.request_head)]


def newest_time(cursor: sqlite3.Cursor) -> Micros:
    """The newest time stored that is found at once, 0 in an empty store."""
    [(newest,)] = cursor.execute(NEWEST_TIME).fetchall()
    return int(newest)


def documents_in(cursor: sqlite3.Cursor, which: DocumentRange, time: Micros) -> Iterable[Row]:
    """The rows of the range, for :func:`document_in`: a number, and what is in ``rows.DOCUMENT``."""
    query = DOCUMENTS_DOWN if which.descending else DOCUMENTS_UP
    return cursor.execute(query, (*encoded_bounds(which), time, which.limit))


def document_in(row: Row) -> Document:
    return rows.document(row[1:])


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
        f"SELECT {rows.SESSION}, c.activity_time FROM sessions s INDEXED BY {_index(which)}"
        " CROSS JOIN session_heads c ON c.log = s.log"
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


def _listed(row: Row) -> ListedSession:
    return ListedSession(rows.session_record(row), row[rows.SESSION_WIDTH])


def _listed_order(row: Row) -> tuple[Micros, bytes]:
    place = rows.listed_place(row)
    return place.create_time, place.session_id.encode()


def _turn_order(row: Row) -> tuple[int, int, int]:
    """By turn, by the item's index in it, by place: from what the shared ``item_record`` is made of."""
    return row[3], row[4], row[0]


def _request_key(row: Row) -> RequestKey:
    return RequestKey(*row[2:4])


def _encoded_key(row: Row) -> bytes:
    return bytes(row[1])


def _session_with_head(
    cursor: sqlite3.Cursor, key: SessionKey
) -> tuple[int, SessionRecord, SessionHead] | None:
    """The number of the session's log, and its records."""
    row = cursor.execute(SESSION_WITH_HEAD, key).fetchone()
    if row is None:
        return None
    width = 1 + rows.SESSION_HEAD_WIDTH
    record = understood_one(key, row[width:], rows.session_record)
    return row[0], record, rows.session_head(key, record.log_id, row[1:width])


def _states(cursor: sqlite3.Cursor, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
    return {key: _state(cursor, key) for key in keys}


def _state(cursor: sqlite3.Cursor, key: ScopeKey) -> StateRecord:
    row = cursor.execute(STATE, state_key(key)).fetchone()
    return StateRecord(key) if row is None else understood_one(key, row, rows.state_record)


def _documents(
    cursor: sqlite3.Cursor, keys: Iterable[DocumentKey], clock: ForwardClock
) -> dict[DocumentKey, Document]:
    now = clock.now()
    found: dict[DocumentKey, Document] = {}
    for key in keys:
        row = cursor.execute(DOCUMENT, (encode_key(key),)).fetchone()
        if row is not None:
            document = understood_one(key, row, rows.document)
            if document.exists(now):
                found[key] = document
    return found


def _projection(
    cursor: sqlite3.Cursor,
    session: SessionKey,
    scopes: Iterable[ScopeKey],
    documents: Iterable[DocumentKey],
    clock: ForwardClock,
) -> Projection | None:
    found = _session_with_head(cursor, session)
    if found is None or found[1].deleted:
        return None
    log, record, head = found
    active = understood(cursor.execute(OPEN_IN_SESSION, (log,)).fetchall(), _request_key, rows.request_head)
    return Projection(
        session=record,
        head=head,
        states=_states(cursor, scopes),
        active=tuple(active),
        time=clock.now(),
        documents=_documents(cursor, documents, clock),
    )
