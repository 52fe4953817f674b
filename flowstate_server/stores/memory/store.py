"""The memory store: plain dictionaries behind the group committer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest
from itertools import islice
from typing import TypeVar

from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateHead,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.stores.commit import GroupCommitter
from flowstate_server.stores.contract.exporting import Exporting, StoredSession
from flowstate_server.stores.contract.pages import page_of
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.contract.storage import Group, GroupStorage, Loaded, Needs
from flowstate_server.stores.contract.store import Store
from flowstate_server.stores.contract.watch import Topic, Watch, WatchHub
from flowstate_server.stores.contract.writes import Batch, CommitResult
from flowstate_server.stores.memory.tables import Tables, own_request, own_session, own_state

Key = TypeVar("Key")
Row = TypeVar("Row")
Place = TypeVar("Place", bound=tuple[str | int, ...])

_KINDS = tuple(ScopeKind)


class MemoryStore(Store, Exporting):
    """No lock: every read, and every group, is one function that the event loop does not interrupt."""

    def __init__(self) -> None:
        self._tables = Tables()
        self._watches = WatchHub()
        self._storage = _Storage(self._tables, self._watches)
        self._committer = GroupCommitter(self._storage)

    async def open(self) -> None:
        self._committer.start()

    async def close(self) -> None:
        await self._committer.close()

    async def commit(self, batch: Batch) -> CommitResult:
        return await self._committer.commit(batch)

    async def time(self) -> Micros:
        return self._storage.time()

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        session = self._tables.sessions.get(key)
        return None if session is None else own_session(session)

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> Sequence[ListedSession]:
        heads = self._tables.session_heads
        found = islice(self._tables.listed(which, after), limit)
        return [ListedSession(own_session(session), heads[session.key].activity_time) for session in found]

    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        request = self._tables.requests.get(key)
        return None if request is None else own_request(request)

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        return self._load_states(keys)

    async def read_events(
        self, request: RequestKey, *, after: int, limit: int, max_bytes: int
    ) -> EventPage | None:
        known = self._tables.requests.get(request)
        if known is None:
            return None
        page: list[EventRecord] = []
        size = 0
        end = known.head.sequence
        for record in self._tables.events_after(request, after):
            size += record.size
            if page and (len(page) >= limit or size > max_bytes):
                end = page[-1].sequence
                break
            page.append(record)
        return EventPage(tuple(page), known.head, end)

    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        return self._tables.turns(session, log_id, newest)

    async def read_projection(self, session: SessionKey, scopes: Iterable[ScopeKey]) -> Projection | None:
        tables = self._tables
        record = tables.sessions.get(session)
        if record is None or record.deleted:
            return None
        active = tuple(tables.requests[key].head for key in tables.active.get(session, ()))
        head = tables.session_heads[session]
        return Projection(own_session(record), head, self._load_states(scopes), active, self._storage.time())

    async def read_processes(self) -> Sequence[ProcessRecord]:
        return list(self._tables.processes.values())

    async def read_unfinished(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        keys = islice(self._tables.running.get(process, ()), limit)
        return [replace(self._tables.requests[key], input=b"") for key in keys]

    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        heads = [self._tables.requests[key].head for key in self._tables.running.get(process, ())]
        return [head for head in heads if head.cancel_requested]

    def watch(self, topics: Iterable[Topic]) -> Watch:
        return self._watches.open(topics)

    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        return self._tables.sweep_transient_events(self._storage.time() - retention, limit)

    async def sweep_idempotency_keys(self, *, limit: int) -> int:
        return self._tables.sweep_idempotency_keys(self._storage.time(), limit)

    async def sweep_processes(self, *, limit: int) -> int:
        return self._tables.sweep_processes(limit)

    async def export_sessions(self, *, after: SessionKey | None, limit: int) -> Sequence[StoredSession]:
        tables = self._tables
        return [
            StoredSession(own_session(tables.sessions[key]), tables.session_heads[key])
            for key in _page(tables.sessions, after, limit)
        ]

    async def export_requests(
        self, *, after: RequestKey | None, limit: int, max_bytes: int
    ) -> Sequence[RequestRecord]:
        tables = self._tables
        kept = [
            key
            for key, row in tables.requests.items()
            if tables.sessions[row.head.session].log_id == row.head.session_log_id
        ]
        found = (own_request(tables.requests[key]) for key in _page(kept, after, limit))
        return page_of(found, limit, max_bytes)

    async def export_events(
        self, session: SessionKey, log_id: str, *, after: int, limit: int, max_bytes: int
    ) -> Sequence[EventRecord]:
        return page_of(self._tables.session_events_after(session, log_id, after), limit, max_bytes)

    async def export_states(
        self, *, after: ScopeKey | None, limit: int, max_bytes: int
    ) -> Sequence[StateRecord]:
        place = None if after is None else _place(after)
        places = {_place(key): key for key in self._tables.states}
        found = (own_state(self._tables.states[places[place]]) for place in _page(places, place, limit))
        return page_of(found, limit, max_bytes)

    async def export_idempotency_keys(
        self, *, after: IdempotencyKey | None, limit: int, max_bytes: int
    ) -> Sequence[IdempotencyRecord]:
        keys = self._tables.idempotency_keys
        places = {(key.tenant, key.principal, key.method, key.key): key for key in keys}
        place = None if after is None else (after.tenant, after.principal, after.method, after.key)
        found = (keys[places[place]] for place in _page(places, place, limit))
        return page_of(found, limit, max_bytes)

    def _load_states(self, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
        states = self._tables.states
        return {key: own_state(states[key]) if key in states else StateRecord(key) for key in keys}


class _Storage(GroupStorage):
    def __init__(self, tables: Tables, watches: WatchHub) -> None:
        self._tables = tables
        self._watches = watches
        self._clock = ForwardClock()

    async def run(self, group: Group) -> None:
        changes = group.decide(self._load(group.needs))
        self._tables.apply(changes)
        self._watches.wake(changes.topics)

    def time(self) -> Micros:
        return self._clock.now()

    def _load(self, needs: Needs) -> Loaded:
        tables = self._tables
        requests = {key: row.head for key, row in _pick(tables.requests, needs.requests)}
        sessions = needs.sessions | {head.session for head in requests.values()}
        return Loaded(
            self.time(),
            sessions={key: own_session(row) for key, row in _pick(tables.sessions, sessions)},
            session_heads=dict(_pick(tables.session_heads, sessions)),
            requests=requests,
            states={key: own_state(row) for key, row in _pick(tables.states, needs.states)},
            state_heads={
                key: StateHead(key, row.version, row.incarnation, row.exists)
                for key, row in _pick(tables.states, needs.state_heads)
            },
            processes=dict(_pick(tables.processes, needs.processes)),
            idempotency_keys=dict(_pick(tables.idempotency_keys, needs.idempotency_keys)),
        )


def _pick(rows: Mapping[Key, Row], keys: Iterable[Key]) -> Iterator[tuple[Key, Row]]:
    return ((key, rows[key]) for key in keys if key in rows)


def _page(keys: Iterable[Place], after: Place | None, limit: int) -> list[Place]:
    """The next keys in order. It looks at all of them each time, which is what a store without an order can do."""
    return nsmallest(limit, keys if after is None else (key for key in keys if key > after))


def _place(key: ScopeKey) -> tuple[int, str, str, str]:
    return _KINDS.index(key.kind), key.tenant, key.id, key.flow_kind
