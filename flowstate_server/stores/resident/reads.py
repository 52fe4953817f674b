"""The reads of the store contract, each one function that holds the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange
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
from flowstate_server.stores.contract.pages import event_page, page_of
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    ListedSessions,
    OldestTurns,
    Place,
    Projection,
    SessionFilter,
    SessionLife,
    SessionPosition,
    SessionWalk,
    position_of,
)
from flowstate_server.stores.contract.tables import DOCUMENTS, SESSION_HEADS, SESSIONS, STATES
from flowstate_server.stores.resident.copies import own_session
from flowstate_server.stores.resident.lists import ResidentLists
from flowstate_server.stores.resident.tables import Tables


class ResidentReads(ResidentLists, Reads):
    async def time(self) -> Micros:
        return self._clock.now()

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        with self._tables as tables:
            return tables.find(SESSIONS, key)

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> ListedSessions:
        with self._tables as tables:
            heads = tables.session_heads
            found = [*islice(tables.listed(which, after), limit + 1)]
            page = [
                ListedSession(own_session(session), heads[session.key].activity_time)
                for session in found[:limit]
            ]
            more = len(found) > limit
            return ListedSessions(page, position_of(page[-1].record) if more and page else None)

    async def count_sessions(self, which: SessionFilter) -> int:
        with self._tables as tables:
            return sum(1 for _ in tables.listed(which, None))

    async def walk_sessions(self, *, after: Place | None, limit: int) -> SessionWalk:
        with self._tables as tables:
            found = [*islice(tables.walked(after), limit)]
            lives = [
                SessionLife(one.key, one.log_id, one.flow_kind, one.ephemeral, tables.session_heads[one.key])
                for _, one in found
            ]
            return SessionWalk(lives, found[-1][0] if len(found) == limit else None)

    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        with self._tables as tables:
            return tables.find_request(key)

    async def get_removed_request(self, key: RequestKey) -> RequestRecord | None:
        with self._tables as tables:
            return tables.find_request(key, removed=True)

    async def read_oldest_turns(self, session: SessionKey, log_id: str, *, limit: int) -> OldestTurns:
        with self._tables as tables:
            keys = tables.turns_of((session, log_id), limit)
            return OldestTurns(
                tuple([tables.turns[key] for key in keys]), tables.count_turns((session, log_id))
            )

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        with self._tables as tables:
            return _states(tables, keys)

    async def load_documents(self, keys: Iterable[DocumentKey]) -> Mapping[DocumentKey, Document]:
        with self._tables as tables:
            return _documents(tables, keys, self._clock.now())

    async def read_documents(
        self, which: DocumentRange, *, max_bytes: int = MAX_DOCUMENT_BYTES
    ) -> Sequence[Document]:
        with self._tables as tables:
            return page_of(tables.documents.range(which, self._clock.now()), which.limit, max_bytes)

    async def read_events(self, log: LogKey, *, after: int, limit: int, max_bytes: int) -> EventPage | None:
        with self._tables as tables:
            if isinstance(log, RequestKey):
                request = tables.find_request(log)
                if request is None:
                    return None
                head = LogHead(request.head.log_id, request.head.sequence, request.head.status.ended)
                return event_page(tables.events_after(log, after), log, head, limit, max_bytes)
            session, counters = tables.find(SESSIONS, log), tables.find(SESSION_HEADS, log)
            if session is None or counters is None:
                return None
            head = LogHead(session.log_id, counters.sequence, session.deleted, counters.floor)
            found = tables.session_events_after(log, session.log_id, after)
            return event_page(found, log, head, limit, max_bytes)

    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        with self._tables as tables:
            return tables.turn_items(session, log_id, newest)

    async def read_projection(
        self, session: SessionKey, scopes: Iterable[ScopeKey], documents: Iterable[DocumentKey] = ()
    ) -> Projection | None:
        with self._tables as tables:
            record = tables.find(SESSIONS, session)
            if record is None or record.deleted:
                return None
            now = self._clock.now()
            return Projection(
                record,
                tables.session_heads[session],
                states=_states(tables, scopes),
                active=tuple(tables.open_requests(session)),
                time=now,
                documents=_documents(tables, documents, now),
            )

    async def read_processes(self) -> Sequence[ProcessRecord]:
        with self._tables as tables:
            return sorted(tables.processes.values(), key=lambda record: record.process)

    async def read_running(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        with self._tables as tables:
            keys = islice(tables.running.get(process, ()), limit)
            return [replace(tables.requests[key], input=b"") for key in keys]

    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        with self._tables as tables:
            heads = [tables.requests[key].head for key in tables.running.get(process, ())]
            return [head for head in heads if head.cancel_requested]


def _states(tables: Tables, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
    return {key: tables.find(STATES, key) or StateRecord(key) for key in keys}


def _documents(tables: Tables, keys: Iterable[DocumentKey], now: Micros) -> dict[DocumentKey, Document]:
    found = tables.found(DOCUMENTS, keys)
    return {key: document for key, document in found.items() if document.exists(now)}
