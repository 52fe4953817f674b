"""What the store knows without looking into a file: heads, and the indexes that reads begin with."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import replace
from heapq import heappush
from pathlib import PurePosixPath
from typing import TypeVar

from flowstate_server.model.clock import Micros
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    ProcessRecord,
    RequestHead,
    RequestStatus,
    SessionHead,
    SessionRecord,
    StateHead,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.contract.tables import Changes
from flowstate_server.stores.filesystem.event_log import EventLog, EventPlace, Places, place_of
from flowstate_server.stores.filesystem.names import Key, as_found

Incarnation = tuple[SessionKey, str]
Sweepable = tuple[Micros, Incarnation, int, Places]
"""From when on retention counts, the log, the first transient event, and all of them."""

T = TypeVar("T")


class Tables:
    """Filled from the files when the store is opened, and moved by every commit and sweep."""

    def __init__(self) -> None:
        self.sessions: dict[SessionKey, SessionRecord] = {}  # without their metadata
        self.session_heads: dict[SessionKey, SessionHead] = {}
        self.requests: dict[RequestKey, RequestHead] = {}
        self.places: dict[RequestKey, Places] = {}
        self.states: dict[ScopeKey, StateHead] = {}
        self.processes: dict[str, ProcessRecord] = {}
        self.keys: dict[IdempotencyKey, Micros] = {}
        self.logs: dict[Incarnation, EventLog] = {}
        self.damaged: dict[Key, PurePosixPath] = {}  # what was in the files and could not be understood
        self.incomplete: set[RequestKey] = set()  # may have lost events to damaged lines of their log
        self.active: dict[SessionKey, dict[RequestKey, None]] = {}
        self.running: dict[str, dict[RequestKey, None]] = {}
        self._listing: dict[tuple[str, str | None], list[tuple[Micros, str]]] = {}
        self._turns: dict[Incarnation, list[tuple[int, RequestKey]]] = {}
        self.sweepable: list[Sweepable] = []
        self.expiring: list[tuple[Micros, tuple[str, str, str, str]]] = []
        self._newest_event_time = 0

    # --- writing

    def apply(self, changes: Changes, sizes: Iterable[int]) -> None:
        """``sizes`` are the lengths of the events' lines."""
        for session in (*changes.new_sessions, *changes.changed_sessions):
            self.put_session(session)
        for session_head in (*changes.new_session_heads, *changes.changed_session_heads):
            self.session_heads[session_head.key] = session_head
        for event, size in zip(changes.events, sizes, strict=True):
            self.add_event(event.session, event.session_log_id, place_of(event, size))
        for head in (*(request.head for request in changes.new_requests), *changes.changed_requests):
            self.put_request(head)
        for state in (*changes.new_states, *changes.changed_states):
            self.states[state.key] = StateHead(state.key, state.version, state.incarnation, state.exists)
        for scope in changes.removed_states:
            self.states.pop(scope, None)
        for process in (*changes.new_processes, *changes.changed_processes):
            self.processes[process.process] = process
        for key in (*changes.new_keys, *changes.replaced_keys):
            self.put_key(key)

    def put_session(self, session: SessionRecord) -> None:
        key = session.key
        before = self.sessions.get(key)
        if before is not None and not before.deleted:
            for listing in self._listings(before):
                del listing[bisect_left(listing, (before.create_time, key.session_id))]
        if not session.deleted:
            for listing in self._listings(session):
                insort(listing, (session.create_time, key.session_id))
        self.sessions[key] = replace(session, metadata={})

    def _listings(self, session: SessionRecord) -> Iterator[list[tuple[Micros, str]]]:
        yield self._listing.setdefault((session.key.tenant, None), [])
        yield self._listing.setdefault((session.key.tenant, session.user_id), [])

    def put_request(self, head: RequestHead) -> None:
        """After its events."""
        known = self.requests.get(head.key)
        self.requests[head.key] = head
        incarnation = (head.session, head.session_log_id)
        if head.status is RequestStatus.IN_PROGRESS:
            self.running.setdefault(head.process, {})[head.key] = None
        elif known is not None:
            _discard(self.running, known.process, head.key)
        if head.status.open:
            self.active.setdefault(head.session, {})[head.key] = None
        elif known is None or known.status.open:
            _discard(self.active, head.session, head.key)
            if head.turn:
                insort(self._turns.setdefault(incarnation, []), (head.turn, head.key))
            places = self.places.get(head.key)
            if places is not None and places.transient:
                self.put_sweepable(head.end_time, incarnation, places)

    def log(self, session: SessionKey, log_id: str) -> EventLog:
        """The log of the incarnation; an empty one, not kept, if it has no file yet."""
        return self.logs.get((session, log_id)) or EventLog(session, log_id)

    def add_event(self, session: SessionKey, log_id: str, event: EventPlace) -> None:
        log = self.logs.get((session, log_id))
        if log is None:
            log = self.logs[session, log_id] = EventLog(session, log_id)
            log.begin(len(log.header))
        log.add(event.session_sequence, event.size)
        self._newest_event_time = max(self._newest_event_time, event.time)
        if event.request_id:
            self.places.setdefault(RequestKey(session.tenant, event.request_id), Places()).add(event)
        elif event.transient:
            places = Places()
            places.add(event)
            self.put_sweepable(event.time, (session, log_id), places)

    def put_sweepable(self, since: Micros, incarnation: Incarnation, places: Places) -> None:
        heappush(self.sweepable, (since, incarnation, places.transient[0], places))

    def put_key(self, record: IdempotencyRecord) -> None:
        self.keys[record.key] = record.expire_time
        self.put_expiring(record.key, record.expire_time)

    def put_expiring(self, key: IdempotencyKey, expire_time: Micros) -> None:
        heappush(self.expiring, (expire_time, (key.tenant, key.principal, key.method, key.key)))

    # --- reading

    def damaged_at(self, key: Key) -> PurePosixPath | None:
        """The file of a record that could not be understood when the store was opened."""
        if not self.damaged:
            return None
        return self.damaged.get(key) or self.damaged.get(as_found(key))

    def listed(self, which: SessionFilter, after: SessionPosition | None) -> Iterator[SessionKey]:
        """Live sessions by (create time, id) descending."""
        listing = self._listing.get((which.tenant, which.user_id), [])
        end = len(listing) if after is None else bisect_left(listing, (after.create_time, after.session_id))
        for position in range(end - 1, -1, -1):
            session = self.sessions[SessionKey(which.tenant, listing[position][1])]
            if (
                (which.flow_kind is None or session.flow_kind == which.flow_kind)
                and (which.org_id is None or session.org_id == which.org_id)
                and (which.include_ephemeral or not session.ephemeral)
            ):
                yield session.key

    def newest_time(self) -> Micros:
        """The newest time that is known without reading files, 0 in an empty store."""
        activities = (head.activity_time for head in self.session_heads.values())
        renewals = (process.renew_time for process in self.processes.values())
        return max((self._newest_event_time, *activities, *renewals))

    def turns(self, session: SessionKey, log_id: str, newest: int) -> list[RequestKey]:
        """The newest completed requests."""
        turns = self._turns.get((session, log_id), [])
        return [key for _, key in turns[max(0, len(turns) - newest) :]]


def _discard(index: dict[T, dict[RequestKey, None]], key: T, request: RequestKey) -> None:
    members = index.get(key)
    if members is not None:
        members.pop(request, None)
        if not members:
            del index[key]
