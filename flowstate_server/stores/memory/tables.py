"""The rows of the memory store and its indexes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from heapq import heappop, heappush, merge
from itertools import islice
from operator import attrgetter
from typing import TypeVar, cast

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import (
    Document,
    DocumentKey,
    DocumentRange,
    encode_key,
    encoded_bounds,
)
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.json_values import JsonObject, decode_json, encode_json
from flowstate_server.model.records import (
    Outcome,
    ProcessRecord,
    RequestRecord,
    RequestStatus,
    SessionHead,
    SessionRecord,
    StateRecord,
    TurnRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    OUTCOMES,
    PROCESSES,
    REQUEST_HEADS,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Changes,
)

Incarnation = tuple[SessionKey, str]
Key = TypeVar("Key")

_sequence = attrgetter("sequence")
_session_sequence = attrgetter("session_sequence")


def _number(turn: TurnRecord) -> int:
    return turn.key.number


class Tables:
    """Everything the store holds. :meth:`apply` and the sweeps write, all else reads."""

    def __init__(self) -> None:
        self.sessions: dict[SessionKey, SessionRecord] = {}
        self.session_heads: dict[SessionKey, SessionHead] = {}
        self.requests: dict[RequestKey, RequestRecord] = {}
        self.states: dict[ScopeKey, StateRecord] = {}
        self.processes: dict[str, ProcessRecord] = {}
        self.turns: dict[SessionKey, list[TurnRecord]] = {}
        self.documents = DocumentTable()
        self.open: dict[SessionKey, dict[RequestKey, None]] = {}
        self.running: dict[str, dict[RequestKey, None]] = {}
        self._listing: dict[tuple[str, str | None], list[tuple[Micros, str]]] = {}
        self._request_events: dict[RequestKey, list[EventRecord]] = {}
        self._session_events: dict[Incarnation, dict[int, EventRecord]] = {}
        self._logs: dict[Incarnation, dict[RequestKey, None]] = {}
        self._items: dict[Incarnation, dict[int, ItemRecord]] = {}
        self._with_transient: set[RequestKey] = set()
        self._ended: deque[tuple[Micros, RequestKey]] = deque()
        self._loose: deque[EventRecord] = deque()

    def apply(self, changes: Changes) -> None:
        for event in changes.events:
            self._append(event)
        for session in changes.put_of(SESSIONS):
            self._put_session(session)
        for head in changes.put_of(SESSION_HEADS):
            self.session_heads[head.key] = head
        for request in changes.new_of(REQUESTS):
            self._put_request(request)
        for request_head in changes.changed_of(REQUEST_HEADS):
            self._put_request(replace(self.requests[request_head.key], head=request_head))
        for outcome in changes.new_of(OUTCOMES):
            self.requests[outcome.key] = with_outcome(self.requests[outcome.key], outcome)
        for turn in changes.put_of(TURNS):
            self._put_turn(turn)
        for state in changes.put_of(STATES):
            self.states[state.key] = own_state(state)
        for scope in changes.removed_of(STATES):
            self.states.pop(scope, None)
        for process in changes.put_of(PROCESSES):
            self.processes[process.process] = process
        for document in changes.put_of(DOCUMENTS):
            self.documents.put(document)
        for document_key in changes.removed_of(DOCUMENTS):
            self.documents.remove(document_key)

    def _put_session(self, session: SessionRecord) -> None:
        key = session.key
        before = self.sessions.get(key)
        if before is not None:
            for listing in self._listings(before):
                position = bisect_left(listing, (before.create_time, key.session_id))
                del listing[position : position + (not before.deleted)]
        if not session.deleted:
            for listing in self._listings(session):
                insort(listing, (session.create_time, key.session_id))
        self.sessions[key] = own_session(session)

    def _listings(self, session: SessionRecord) -> Iterator[list[tuple[Micros, str]]]:
        yield self._listing.setdefault((session.key.tenant, None), [])
        yield self._listing.setdefault((session.key.tenant, session.user_id), [])

    def _put_request(self, request: RequestRecord) -> None:
        head = request.head
        known = self.requests.get(head.key)
        self.requests[head.key] = request
        if known is not None and known.head.status.open:
            _discard(self.open, head.session, head.key)
            _discard(self.running, known.head.process, head.key)
        if head.status.open:
            self.open.setdefault(head.session, {})[head.key] = None
        elif (known is None or known.head.status.open) and head.key in self._with_transient:
            self._ended.append((head.end_time, head.key))
        if head.status is RequestStatus.IN_PROGRESS:
            self.running.setdefault(head.process, {})[head.key] = None

    def _put_turn(self, turn: TurnRecord) -> None:
        turns = self.turns.setdefault(turn.key.session, [])
        if turns and turns[0].key.log_id != turn.key.log_id:
            turns.clear()
        if not turns or turns[-1].key.number < turn.key.number:
            turns.append(turn)
        else:
            position = bisect_left(turns, turn.key.number, key=_number)
            turns[position : position + (turns[position].key == turn.key)] = [turn]

    def _append(self, record: EventRecord) -> None:
        incarnation = (record.session, record.session_log_id)
        item = record.event.item
        if item is not None and record.event.type is EventType.ITEM_DONE:
            self._items.setdefault(incarnation, {})[record.session_sequence] = ItemRecord(
                item, *incarnation, record.request_id, record.session_sequence, record.time
            )
        if not record.request_id:
            self._session_events.setdefault(incarnation, {})[record.session_sequence] = record
            if record.event.transient:
                self._loose.append(record)
            return
        key = RequestKey(record.session.tenant, record.request_id)
        if record.event.transient:
            self._with_transient.add(key)
        self._request_events.setdefault(key, []).append(record)
        self._logs.setdefault(incarnation, {})[key] = None

    def listed(self, which: SessionFilter, after: SessionPosition | None) -> Iterator[SessionRecord]:
        listing = self._listing.get((which.tenant, which.user_id), [])
        end = len(listing) if after is None else bisect_left(listing, (after.create_time, after.session_id))
        for position in range(end - 1, -1, -1):
            session = self.sessions[SessionKey(which.tenant, listing[position][1])]
            if (
                (which.flow_kind is None or session.flow_kind == which.flow_kind)
                and (which.org_id is None or session.org_id == which.org_id)
                and (which.include_ephemeral or not session.ephemeral)
            ):
                yield session

    def events_after(self, request: RequestKey, after: int) -> Iterator[EventRecord]:
        events = self._request_events.get(request, [])
        for position in range(bisect_right(events, after, key=_sequence), len(events)):
            yield events[position]

    def session_events_after(self, session: SessionKey, log_id: str, after: int) -> Iterator[EventRecord]:
        outside = self._session_events.get((session, log_id), {}).values()
        logs = [list(outside), *(self._request_events[key] for key in self._logs.get((session, log_id), ()))]
        rests = (islice(log, bisect_right(log, after, key=_session_sequence), None) for log in logs)
        return merge(*rests, key=_session_sequence)

    def turn_items(self, session: SessionKey, log_id: str, newest: int) -> list[ItemRecord]:
        turns = self.turns.get(session, [])
        if not newest or not turns or turns[0].key.log_id != log_id:
            return []
        items = self._items.get((session, log_id), {})
        found = []
        for turn in turns[-newest:]:
            of_turn = [
                replace(items[sequence], turn=turn.key.number)
                for sequence in self._places(turn)
                if sequence in items
            ]
            found += sorted(of_turn, key=lambda record: record.item.index)
        return found

    def _places(self, turn: TurnRecord) -> Iterable[int]:
        if not turn.request_id:
            return range(turn.first, turn.last + 1)
        request = RequestKey(turn.key.session.tenant, turn.request_id)
        return [event.session_sequence for event in self._request_events.get(request, ())]

    def sweep_transient_events(self, before: Micros, limit: int) -> int:
        swept = 0
        while swept < limit and self._ended and self._ended[0][0] <= before:
            key = self._ended[0][1]
            self._request_events[key], gone = _without_transient(self._request_events[key], limit - swept)
            swept += gone
            if swept < limit:
                self._ended.popleft()
                self._with_transient.discard(key)
        while swept < limit and self._loose and self._loose[0].time <= before:
            record = self._loose.popleft()
            del self._session_events[record.session, record.session_log_id][record.session_sequence]
            swept += 1
        return swept

    def sweep_processes(self, limit: int) -> int:
        over = [
            row.process for row in self.processes.values() if row.fenced and not self.running.get(row.process)
        ]
        for process in over[:limit]:
            del self.processes[process]
        return len(over[:limit])


class DocumentTable:
    """Documents by key, and their keys in order."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Document] = {}
        self._keys: list[bytes] = []
        self._expiring: list[tuple[Micros, bytes]] = []

    def get(self, key: DocumentKey) -> Document | None:
        return self._by_key.get(encode_key(key))

    def put(self, document: Document) -> None:
        key = encode_key(document.key)
        if key not in self._by_key:
            insort(self._keys, key)
        self._by_key[key] = document
        if document.expire_time:
            heappush(self._expiring, (document.expire_time, key))

    def remove(self, key: DocumentKey) -> None:
        self._remove(encode_key(key))

    def range(self, which: DocumentRange, now: Micros) -> Iterator[Document]:
        """All documents of the range that are there, whatever its ``limit``."""
        low, high = encoded_bounds(which)
        positions = range(bisect_left(self._keys, low), bisect_left(self._keys, high))
        for position in reversed(positions) if which.descending else positions:
            document = self._by_key[self._keys[position]]
            if document.exists(now):
                yield document

    def after(self, key: DocumentKey | None) -> Iterator[Document]:
        start = 0 if key is None else bisect_right(self._keys, encode_key(key))
        return (self._by_key[key] for key in self._keys[start:])

    def sweep(self, now: Micros, limit: int) -> int:
        swept = 0
        while swept < limit and self._expiring and self._expiring[0][0] <= now:
            expire_time, key = heappop(self._expiring)
            document = self._by_key.get(key)
            if document is not None and document.expire_time == expire_time:
                self._remove(key)
                swept += 1
        return swept

    def _remove(self, key: bytes) -> None:
        if self._by_key.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]


def with_outcome(request: RequestRecord, outcome: Outcome) -> RequestRecord:
    return replace(request, output=outcome.output, failure=outcome.failure, reason=outcome.reason)


def own_session(session: SessionRecord) -> SessionRecord:
    return replace(session, metadata=_own_copy(session.metadata)) if session.metadata else session


def own_request(request: RequestRecord) -> RequestRecord:
    failure = request.failure
    if failure is None or not failure.details:
        return request
    return replace(request, failure=replace(failure, details=_own_copy(failure.details)))


def own_state(state: StateRecord) -> StateRecord:
    """The record as text alone: what a caller does to a parsed state can't reach what is stored."""
    return StateRecord(
        state.key,
        state.version,
        state.incarnation,
        state.exists,
        state.text,
        state.create_time,
        state.update_time,
        state.generations,
        state.schema_hash,
    )


def _own_copy(value: JsonObject) -> JsonObject:
    return cast(JsonObject, decode_json(encode_json(value)))


def _discard(index: dict[Key, dict[RequestKey, None]], key: Key, request: RequestKey) -> None:
    members = index.get(key)
    if members is not None:
        members.pop(request, None)
        if not members:
            del index[key]


def _without_transient(events: list[EventRecord], limit: int) -> tuple[list[EventRecord], int]:
    kept: list[EventRecord] = []
    gone = 0
    for record in events:
        if record.event.transient and gone < limit:
            gone += 1
        else:
            kept.append(record)
    return kept, gone
