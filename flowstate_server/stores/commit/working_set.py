"""The records that a group works on: what was loaded, what its batches made of it, and the layer of the one at work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Generic, TypeVar

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import (
    RequestRecord,
    StateHead,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind
from flowstate_server.stores.contract.storage import Changes, Loaded, Outcome
from flowstate_server.stores.contract.watch import Topic, TopicKind

Key = TypeVar("Key")
Record = TypeVar("Record")


class Table(Generic[Key, Record]):
    """Records of one kind. ``put`` goes to the layer of the batch at work, which is kept or dropped as a whole;
    ``touched`` are the tables that have such a layer."""

    def __init__(self, loaded: dict[Key, Record], touched: list[Table[Any, Any]]) -> None:
        self.loaded = loaded
        self._touched = touched
        self._kept: dict[Key, Record] = {}
        self._layer: dict[Key, Record] = {}

    def get(self, key: Key) -> Record | None:
        record = self._layer.get(key)
        if record is None:
            record = self._kept.get(key)
            if record is None:
                record = self.loaded.get(key)
        return record

    def put(self, key: Key, record: Record) -> None:
        if not self._layer:
            self._touched.append(self)
        self._layer[key] = record

    def keep(self) -> None:
        self._kept.update(self._layer)
        self._layer.clear()

    def drop(self) -> None:
        self._layer.clear()

    def changed(self) -> Iterator[tuple[Key, Record, Record | None]]:
        """Key, record and what was loaded, of each record that a kept batch has put."""
        for key, record in self._kept.items():
            yield key, record, self.loaded.get(key)

    def split(self) -> tuple[list[Record], list[Record]]:
        """New records and changed ones."""
        new: list[Record] = []
        changed: list[Record] = []
        for _, record, loaded in self.changed():
            (new if loaded is None else changed).append(record)
        return new, changed


class WorkingSet:
    """Works batches one after another: each ends with :meth:`keep` or :meth:`drop`."""

    def __init__(self, loaded: Loaded) -> None:
        self.time = loaded.time
        self._touched: list[Table[Any, Any]] = []
        self.sessions = Table(loaded.sessions, self._touched)
        self.session_heads = Table(loaded.session_heads, self._touched)
        self.requests = Table(loaded.requests, self._touched)
        self.states = Table(loaded.states, self._touched)
        self.processes = Table(loaded.processes, self._touched)
        self.idempotency_keys = Table(loaded.idempotency_keys, self._touched)
        self.created: Table[RequestKey, RequestRecord] = Table({}, self._touched)
        self.outcomes: Table[RequestKey, Outcome] = Table({}, self._touched)
        self.removed: Table[ScopeKey, bool] = Table({}, self._touched)
        self.events: list[EventRecord] = []
        self._state_heads = loaded.state_heads
        self._kept_events = 0

    def keep(self) -> None:
        for table in self._touched:
            table.keep()
        self._touched.clear()
        self._kept_events = len(self.events)

    def drop(self) -> None:
        for table in self._touched:
            table.drop()
        self._touched.clear()
        del self.events[self._kept_events :]

    def state(self, key: ScopeKey) -> StateRecord:
        return self.states.get(key) or StateRecord(key)

    def state_head(self, key: ScopeKey) -> StateRecord | StateHead:
        return self.states.get(key) or self._state_heads.get(key) or StateHead(key)

    def changes(self) -> Changes:
        """What the kept batches have changed."""
        changes = Changes(self.time, events=self.events)
        changes.new_sessions, changes.changed_sessions = self.sessions.split()
        changes.new_session_heads, changes.changed_session_heads = self.session_heads.split()
        changes.new_processes, changes.changed_processes = self.processes.split()
        self._request_changes(changes)
        self._state_changes(changes)
        for _, key, loaded in self.idempotency_keys.changed():
            (changes.new_keys if loaded is None else changes.replaced_keys).append(key)
        changes.topics = list(self._topics())
        return changes

    def _request_changes(self, changes: Changes) -> None:
        for key, head, loaded in self.requests.changed():
            outcome = self.outcomes.get(key)
            created = self.created.get(key)
            if created is None or loaded is not None:
                changes.changed_requests.append(head)
                if outcome is not None:
                    changes.outcomes.append(outcome)
            elif outcome is None:
                changes.new_requests.append(replace(created, head=head))
            else:
                whole = replace(created, head=head, output=outcome.output, failure=outcome.failure)
                changes.new_requests.append(whole)

    def _state_changes(self, changes: Changes) -> None:
        for key, record, loaded in self.states.changed():
            if self.removed.get(key):
                continue
            (changes.new_states if loaded is None else changes.changed_states).append(record)
        for key, _, _ in self.removed.changed():
            if key in self.states.loaded or key in self._state_heads:
                changes.removed_states.append(key)

    def _topics(self) -> Iterator[Topic]:
        topics: dict[Topic, None] = {}
        for request, head, before in self.requests.changed():
            topics[Topic(TopicKind.REQUEST, *request)] = None
            if head.cancel_requested and not (before and before.cancel_requested):
                topics[Topic(TopicKind.PROCESS, "", head.process)] = None
        for session, _, _ in self.session_heads.changed():
            topics[Topic(TopicKind.SESSION, *session)] = None
        for key, _, _ in self.states.changed():
            # A session's state may change without an event; whoever watches what the session shows wants to know.
            if key.kind is not ScopeKind.REQUEST:
                topics[Topic(_STATE_TOPICS[key.kind], key.tenant, key.id)] = None
        for process, record, _ in self.processes.changed():
            if record.fenced:
                topics[Topic(TopicKind.PROCESS, "", process)] = None
        return iter(topics)


_STATE_TOPICS = {
    ScopeKind.SESSION: TopicKind.SESSION,
    ScopeKind.USER: TopicKind.USER,
    ScopeKind.ORG: TopicKind.ORG,
}
