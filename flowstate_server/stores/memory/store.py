"""The memory store: plain dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest
from itertools import chain, islice
from threading import Lock
from typing import Any, TypeVar

from flowstate_server.errors import LeaseLostError
from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange
from flowstate_server.model.events import EventKey, EventRecord, LogHead
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateHead,
    StateRecord,
    TurnKey,
    TurnRecord,
)
from flowstate_server.model.scopes import LogKey, RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.backend import (
    Backend,
    Exports,
    Group,
    GroupStorage,
    LeaseRenewal,
    Ports,
    Reads,
    Sweeps,
)
from flowstate_server.stores.contract.blobs import BlobPieces, PieceKey
from flowstate_server.stores.contract.pages import event_page, page_of
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    EVENTS,
    PROCESSES,
    REQUEST_HEADS,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATE_HEADS,
    STATES,
    TURNS,
    Loaded,
    Needs,
    Table,
)
from flowstate_server.stores.contract.watch import Topic
from flowstate_server.stores.memory.tables import Tables, own_request, own_session, own_state
from flowstate_server.stores.store import Store

Key = TypeVar("Key")
Row = TypeVar("Row")
Record = TypeVar("Record")


class MemoryStore(Store):
    """Keeps everything in this process and nothing beyond it."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())


class MemoryBackend(Backend):
    """Every read, and every group, is one function that the event loop does not interrupt; the lock is for the thread
    that renews leases."""

    def __init__(self) -> None:
        self.tables = tables = Tables()
        clock = ForwardClock()
        lock = Lock()
        self._ports = Ports(
            groups=_Groups(tables, clock, lock),
            reads=_Reads(tables, clock),
            sweeps=_Sweeps(tables, clock),
            exports=_Exports(tables),
            pieces=_Pieces(),
            renewal=_Renewal(tables, clock, lock),
        )

    async def open(self) -> Ports:
        return self._ports

    async def close(self) -> None:
        pass


class _Groups(GroupStorage):
    def __init__(self, tables: Tables, clock: ForwardClock, lock: Lock) -> None:
        self._tables = tables
        self._clock = clock
        self._lock = lock

    async def run(self, group: Group) -> Iterable[Topic]:
        with self._lock:
            changes = group.decide(self._load(group.needs))
            self._tables.apply(changes)
        return changes.topics

    def _load(self, needs: Needs) -> Loaded:
        tables = self._tables
        loaded = Loaded(self._clock.now())
        requests = {key: row.head for key, row in _pick(tables.requests, needs.of(REQUEST_HEADS))}
        sessions = needs.of(SESSIONS) | {head.session for head in requests.values()}
        loaded.records = {
            SESSIONS: {key: own_session(row) for key, row in _pick(tables.sessions, sessions)},
            SESSION_HEADS: dict(_pick(tables.session_heads, sessions)),
            REQUEST_HEADS: requests,
            STATES: {key: own_state(row) for key, row in _pick(tables.states, needs.of(STATES))},
            STATE_HEADS: {
                key: StateHead(key, row.version, row.incarnation, row.exists)
                for key, row in _pick(tables.states, needs.of(STATE_HEADS))
            },
            TURNS: {key: turn for key in needs.of(TURNS) if (turn := self._turn(key)) is not None},
            PROCESSES: dict(_pick(tables.processes, needs.of(PROCESSES))),
            DOCUMENTS: {
                key: document
                for key in needs.of(DOCUMENTS)
                if (document := tables.documents.get(key)) is not None
            },
        }
        for which in needs.ranges:
            loaded.ranges[which] = list(islice(tables.documents.range(which, loaded.time), which.limit))
        for session in needs.open_requests:
            loaded.open_requests[session] = [
                tables.requests[key].head for key in tables.open.get(session, ())
            ]
        return loaded

    def _turn(self, key: TurnKey) -> TurnRecord | None:
        turns = self._tables.turns.get(key.session, ())
        return next((turn for turn in turns if turn.key == key), None)


class _Reads(Reads):
    def __init__(self, tables: Tables, clock: ForwardClock) -> None:
        self._tables = tables
        self._clock = clock

    async def time(self) -> Micros:
        return self._clock.now()

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        session = self._tables.sessions.get(key)
        return None if session is None else own_session(session)

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None
    ) -> Sequence[ListedSession]:
        heads = self._tables.session_heads
        found = islice(self._tables.listed(which, after), limit)
        return [ListedSession(own_session(session), heads[session.key].activity_time) for session in found]

    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        request = self._tables.requests.get(key)
        return None if request is None else own_request(request)

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        return self._load_states(keys)

    async def load_documents(self, keys: Iterable[DocumentKey]) -> Mapping[DocumentKey, Document]:
        return self._load_documents(keys)

    async def read_documents(self, which: DocumentRange, *, max_bytes: int) -> Sequence[Document]:
        return page_of(self._tables.documents.range(which, self._clock.now()), which.limit, max_bytes)

    async def read_events(self, log: LogKey, *, after: int, limit: int, max_bytes: int) -> EventPage | None:
        tables = self._tables
        if isinstance(log, RequestKey):
            request = tables.requests.get(log)
            if request is None:
                return None
            head = LogHead(request.head.log_id, request.head.sequence, request.head.status.ended)
            return event_page(tables.events_after(log, after), log, head, limit, max_bytes)
        session = tables.sessions.get(log)
        if session is None:
            return None
        counters = tables.session_heads[log]
        head = LogHead(session.log_id, counters.sequence, session.deleted, counters.floor)
        found = tables.session_events_after(log, session.log_id, after)
        return event_page(found, log, head, limit, max_bytes)

    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        return self._tables.turn_items(session, log_id, newest)

    async def read_projection(
        self, session: SessionKey, scopes: Iterable[ScopeKey], documents: Iterable[DocumentKey]
    ) -> Projection | None:
        tables = self._tables
        record = tables.sessions.get(session)
        if record is None or record.deleted:
            return None
        return Projection(
            own_session(record),
            tables.session_heads[session],
            self._load_states(scopes),
            tuple([tables.requests[key].head for key in tables.open.get(session, ())]),
            self._clock.now(),
            self._load_documents(documents),
        )

    async def read_processes(self) -> Sequence[ProcessRecord]:
        return list(self._tables.processes.values())

    async def read_open_requests(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        keys = islice(self._tables.running.get(process, ()), limit)
        return [replace(self._tables.requests[key], input=b"") for key in keys]

    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        heads = [self._tables.requests[key].head for key in self._tables.running.get(process, ())]
        return [head for head in heads if head.cancel_requested]

    def _load_states(self, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
        states = self._tables.states
        return {key: own_state(states[key]) if key in states else StateRecord(key) for key in keys}

    def _load_documents(self, keys: Iterable[DocumentKey]) -> dict[DocumentKey, Document]:
        now = self._clock.now()
        found = {key: self._tables.documents.get(key) for key in keys}
        return {key: document for key, document in found.items() if document and document.exists(now)}


class _Sweeps(Sweeps):
    def __init__(self, tables: Tables, clock: ForwardClock) -> None:
        self._tables = tables
        self._clock = clock

    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        return self._tables.sweep_transient_events(self._clock.now() - retention, limit)

    async def sweep_documents(self, *, limit: int) -> int:
        return self._tables.documents.sweep(self._clock.now(), limit)

    async def sweep_processes(self, *, limit: int) -> int:
        return self._tables.sweep_processes(limit)


class _Exports(Exports):
    """It looks at all keys for each page, which is what a store without an order can do."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def export(
        self, table: Table[Key, Record], *, after: Key | None, limit: int, max_bytes: int
    ) -> Sequence[Record]:
        return page_of(self._records(table, after, limit), limit, max_bytes)

    def _records(self, table: Table[Any, Any], after: Any, limit: int) -> Iterator[Any]:
        tables = self._tables
        if table is DOCUMENTS:
            return tables.documents.after(after)
        if table is EVENTS:
            return self._events(after)
        if table is SESSIONS:
            return map(own_session, self._in_order(table, tables.sessions, after, limit))
        if table is REQUESTS:
            present = {key: row for key, row in tables.requests.items() if self._is_present(row.head)}
            return map(own_request, self._in_order(table, present, after, limit))
        if table is STATES:
            return map(own_state, self._in_order(table, tables.states, after, limit))
        if table is TURNS:
            turns = {turn.key: turn for turn in chain(*tables.turns.values())}
            return self._in_order(table, turns, after, limit)
        rows: Mapping[Any, Any] = tables.session_heads if table is SESSION_HEADS else tables.processes
        return self._in_order(table, rows, after, limit)

    def _in_order(
        self, table: Table[Any, Any], rows: Mapping[Any, Row], after: Any, limit: int
    ) -> Iterator[Row]:
        place = table.place
        keys = rows if after is None else (key for key in rows if place(key) > place(after))
        return (rows[key] for key in nsmallest(limit, keys, key=place))

    def _events(self, after: EventKey | None) -> Iterator[EventRecord]:
        for session in sorted(self._tables.sessions):
            if after is None or session >= after.session:
                beyond = after.session_sequence if after is not None and session == after.session else 0
                log_id = self._tables.sessions[session].log_id
                yield from self._tables.session_events_after(session, log_id, beyond)

    def _is_present(self, head: RequestHead) -> bool:
        return self._tables.sessions[head.session].log_id == head.session_log_id


class _Renewal(LeaseRenewal):
    def __init__(self, tables: Tables, clock: ForwardClock, lock: Lock) -> None:
        self._tables = tables
        self._clock = clock
        self._lock = lock

    def renew(self, process: str, lease: Micros) -> None:
        with self._lock:
            known = self._tables.processes.get(process)
            if known is None or known.fenced:
                raise LeaseLostError
            self._tables.processes[process] = ProcessRecord(process, lease, self._clock.now())

    def close(self) -> None:
        pass


class _Pieces(BlobPieces):
    def __init__(self) -> None:
        self._pieces: dict[PieceKey, bytes] = {}

    async def put(self, key: PieceKey, piece: bytes) -> None:
        self._pieces.setdefault(key, bytes(piece))

    async def read(self, key: PieceKey) -> bytes | None:
        return self._pieces.get(key)

    async def delete(self, blob: str, *, limit: int) -> int:
        keys = list(islice((key for key in self._pieces if key.blob == blob), limit))
        for key in keys:
            del self._pieces[key]
        return len(keys)

    async def list(self, *, after: PieceKey | None, limit: int) -> Sequence[PieceKey]:
        keys = self._pieces if after is None else (key for key in self._pieces if key > after)
        return nsmallest(limit, keys)


def _pick(rows: Mapping[Key, Row], keys: Iterable[Key]) -> Iterator[tuple[Key, Row]]:
    return ((key, rows[key]) for key in keys if key in rows)
