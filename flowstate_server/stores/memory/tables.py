"""The rows of the memory store and its indexes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from heapq import heappop, heappush, merge
from itertools import islice
from operator import attrgetter
from typing import TypeVar, cast

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.json_values import JsonObject, decode_json, encode_json
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    ProcessRecord,
    RequestRecord,
    SessionHead,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.contract.storage import Changes, Outcome

Incarnation = tuple[SessionKey, str]
Key = TypeVar("Key")
Record = TypeVar("Record")

_sequence = attrgetter("sequence")
_session_sequence = attrgetter("session_sequence")


class Tables:
    """Everything the store holds. :meth:`apply` and the sweeps write, all else reads."""

    def __init__(self) -> None:
        self.sessions: dict[SessionKey, SessionRecord] = {}
        self.session_heads: dict[SessionKey, SessionHead] = {}
        self.requests: dict[RequestKey, RequestRecord] = {}
        self.states: dict[ScopeKey, StateRecord] = {}
        self.processes: dict[str, ProcessRecord] = {}
        self.idempotency_keys: dict[IdempotencyKey, IdempotencyRecord] = {}
        self.active: dict[SessionKey, dict[RequestKey, None]] = {}
        self.running: dict[str, dict[RequestKey, None]] = {}
        self._listing: dict[tuple[str, str | None], list[tuple[Micros, str]]] = {}
        self._request_events: dict[RequestKey, list[EventRecord]] = {}
        self._session_events: dict[Incarnation, dict[int, EventRecord]] = {}
        self._logs: dict[Incarnation, dict[RequestKey, None]] = {}
        self._items: dict[RequestKey, list[ItemRecord]] = {}
        self._turns: dict[Incarnation, list[tuple[int, RequestKey]]] = {}
        self._with_transient: set[RequestKey] = set()
        self._ended: deque[tuple[Micros, RequestKey]] = deque()
        self._loose: deque[EventRecord] = deque()
        self._expiring: list[tuple[Micros, int, IdempotencyKey]] = []
        self._keys_put = 0

    # --- writing

    def apply(self, changes: Changes) -> None:
        for event in changes.events:
            self._append(event)
        for session in (*changes.new_sessions, *changes.changed_sessions):
            self._put_session(session)
        for head in (*changes.new_session_heads, *changes.changed_session_heads):
            self.session_heads[head.key] = head
        for request in changes.new_requests:
            self._put_request(request)
        for request_head in changes.changed_requests:
            self._put_request(replace(self.requests[request_head.key], head=request_head))
        for outcome in changes.outcomes:
            self._put_outcome(outcome)
        for state in (*changes.new_states, *changes.changed_states):
            self.states[state.key] = own_state(state)
        for scope in changes.removed_states:
            self.states.pop(scope, None)
        for process in (*changes.new_processes, *changes.changed_processes):
            self.processes[process.process] = process
        for key in (*changes.new_keys, *changes.replaced_keys):
            self._put_key(key)

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
        if not head.status.ended:
            self.active.setdefault(head.session, {})[head.key] = None
            self.running.setdefault(head.process, {})[head.key] = None
        elif known is None or not known.head.status.ended:
            _discard(self.active, head.session, head.key)
            _discard(self.running, head.process, head.key)
            if head.key in self._with_transient:
                self._ended.append((head.end_time, head.key))
            if head.turn:
                insort(self._turns.setdefault((head.session, head.session_log_id), []), (head.turn, head.key))

    def _put_outcome(self, outcome: Outcome) -> None:
        request = self.requests[outcome.request]
        self.requests[outcome.request] = replace(request, output=outcome.output, failure=outcome.failure)

    def _put_key(self, record: IdempotencyRecord) -> None:
        self.idempotency_keys[record.key] = record
        self._keys_put += 1
        heappush(self._expiring, (record.expire_time, self._keys_put, record.key))

    def _append(self, record: EventRecord) -> None:
        if not record.request_id:
            log = self._session_events.setdefault((record.session, record.session_log_id), {})
            log[record.session_sequence] = record
            if record.event.transient:
                self._loose.append(record)
            return
        key = RequestKey(record.session.tenant, record.request_id)
        if record.event.transient:
            self._with_transient.add(key)
        self._request_events.setdefault(key, []).append(record)
        self._logs.setdefault((record.session, record.session_log_id), {})[key] = None
        item = record.event.item
        if item is not None and record.event.type is EventType.ITEM_DONE:
            row = ItemRecord(
                item,
                record.session,
                record.session_log_id,
                record.request_id,
                record.session_sequence,
                record.time,
            )
            self._items.setdefault(key, []).append(row)

    # --- reading

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

    def turns(self, session: SessionKey, log_id: str, newest: int) -> list[ItemRecord]:
        turns = self._turns.get((session, log_id), [])
        newest_turns = turns[max(0, len(turns) - newest) :]
        items = [item for _, key in newest_turns for item in self._items.get(key, ())]
        return sorted(items, key=attrgetter("session_sequence"))

    # --- sweeping

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

    def sweep_idempotency_keys(self, now: Micros, limit: int) -> int:
        swept = 0
        while swept < limit and self._expiring and self._expiring[0][0] <= now:
            expire_time, _, key = heappop(self._expiring)
            record = self.idempotency_keys.get(key)
            if record is not None and record.expire_time == expire_time:
                del self.idempotency_keys[key]
                swept += 1
        return swept

    def sweep_processes(self, limit: int) -> int:
        over = [
            row.process for row in self.processes.values() if row.fenced and not self.running.get(row.process)
        ]
        for process in over[:limit]:
            del self.processes[process]
        return len(over[:limit])


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
