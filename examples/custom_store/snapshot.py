"""All that the store keeps, as one value that is never changed: a commit makes the next one.

That makes every read consistent: whoever holds a snapshot sees one moment, whatever others write.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord
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
from flowstate_server.stores.contract.polling import Seen
from flowstate_server.stores.contract.tables import Changes
from flowstate_server.stores.contract.watch import Topic

REMEMBERED = 500
"""Commits whose topics are kept for those who poll."""

T = TypeVar("T")
Log = tuple[SessionKey, str]
"""One incarnation of a session."""


@dataclass(frozen=True)
class Snapshot:
    """``commit`` counts the commits, ``time`` is that of the newest, ``topics`` are those of the last commits."""

    commit: int = 0
    time: Micros = 0
    topics: tuple[tuple[Topic, ...], ...] = ()
    sessions: dict[SessionKey, SessionRecord] = field(default_factory=dict)
    session_heads: dict[SessionKey, SessionHead] = field(default_factory=dict)
    requests: dict[RequestKey, RequestRecord] = field(default_factory=dict)
    states: dict[ScopeKey, StateRecord] = field(default_factory=dict)
    events: dict[Log, tuple[EventRecord, ...]] = field(default_factory=dict)
    processes: dict[str, ProcessRecord] = field(default_factory=dict)
    idempotency_keys: dict[IdempotencyKey, IdempotencyRecord] = field(default_factory=dict)

    def changed_since(self, commit: int) -> Seen:
        missed = self.commit - commit
        if missed > len(self.topics):
            return Seen(self.commit, None)
        last = self.topics[len(self.topics) - missed :]
        return Seen(self.commit, [topic for topics in last for topic in topics])


def own(value: T) -> T:
    """A copy, so that nothing a caller does to a record that it holds reaches what is kept."""
    return copy.deepcopy(value)


def after(before: Snapshot, changes: Changes) -> Snapshot:
    """The next snapshot. New and known records are told apart by the contract; to a dictionary they are the same."""
    return replace(
        before,
        commit=before.commit + 1,
        time=max(before.time, changes.time),
        topics=(*before.topics, tuple(changes.topics))[-REMEMBERED:],
        sessions=before.sessions
        | {one.key: own(one) for one in (*changes.new_sessions, *changes.changed_sessions)},
        session_heads=before.session_heads
        | {one.key: one for one in (*changes.new_session_heads, *changes.changed_session_heads)},
        requests=_requests_after(before, changes),
        states=_states_after(before, changes),
        events=_events_after(before, changes.events),
        processes=before.processes
        | {one.process: one for one in (*changes.new_processes, *changes.changed_processes)},
        idempotency_keys=before.idempotency_keys
        | {one.key: one for one in (*changes.new_keys, *changes.replaced_keys)},
    )


def _requests_after(before: Snapshot, changes: Changes) -> dict[RequestKey, RequestRecord]:
    requests = before.requests | {one.key: own(one) for one in changes.new_requests}
    for head in changes.changed_requests:
        requests[head.key] = replace(requests[head.key], head=head)
    for outcome in changes.outcomes:
        known = requests[outcome.request]
        requests[outcome.request] = replace(known, output=outcome.output, failure=own(outcome.failure))
    return requests


def _states_after(before: Snapshot, changes: Changes) -> dict[ScopeKey, StateRecord]:
    states = before.states | {one.key: own(one) for one in (*changes.new_states, *changes.changed_states)}
    for key in changes.removed_states:
        states.pop(key, None)
    return states


def _events_after(before: Snapshot, appended: Iterable[EventRecord]) -> dict[Log, tuple[EventRecord, ...]]:
    fresh: dict[Log, list[EventRecord]] = {}
    for event in appended:
        fresh.setdefault((event.session, event.session_log_id), []).append(event)
    return before.events | {log: (*before.events.get(log, ()), *events) for log, events in fresh.items()}
