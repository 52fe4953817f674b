"""All that the store keeps, as one value that is never changed: a commit makes the next one.

That makes every read consistent: whoever holds a snapshot sees one moment, whatever others write.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import OwnerKind
from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import RequestRecord, RequestStatus, whole_request
from flowstate_server.model.removals import blanked
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.polling import Seen
from flowstate_server.stores.contract.removals import rewritten_events, without_content
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    EMPTIED_REQUESTS,
    ITEM_REMOVALS,
    OUTCOMES,
    REQUEST_HEADS,
    REQUESTS,
    Changes,
    Cut,
    Table,
)
from flowstate_server.stores.contract.watch import Topic

REMEMBERED = 500
"""Commits whose topics are kept for those who poll."""

T = TypeVar("T")
Key = TypeVar("Key")
Record = TypeVar("Record")
Log = tuple[SessionKey, str]
"""One incarnation of a session."""


@dataclass(frozen=True)
class Snapshot:
    """``commit`` counts the commits, ``time`` is that of the newest, ``topics`` are those of the last commits.

    ``tables`` holds the records of each table by key, under the table's name. Requests are whole, with their present
    heads and outcomes.
    """

    commit: int = 0
    time: Micros = Micros(0)
    topics: tuple[tuple[Topic, ...], ...] = ()
    tables: Mapping[str, Mapping[Any, Any]] = field(default_factory=dict)
    events: Mapping[Log, tuple[EventRecord, ...]] = field(default_factory=dict)

    def of(self, table: Table[Key, Record]) -> Mapping[Key, Record]:
        return self.tables.get(table.name, {})

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
    tables = {name: dict(records) for name, records in before.tables.items()}
    for table, records in (*changes.new.items(), *changes.changed.items()):
        if table not in (REQUEST_HEADS, OUTCOMES, ITEM_REMOVALS, EMPTIED_REQUESTS):
            kept = tables.setdefault(table.name, {})
            kept.update((table.key_of(record), own(record)) for record in records)
    for table, keys in changes.removed.items():
        for key in keys:
            tables[table.name].pop(key, None)
    cut = {(key.tenant, key.request_id) for cut in changes.cuts for key in cut.requests}
    if cut:
        documents = tables.get(DOCUMENTS.name, {})
        tables[DOCUMENTS.name] = {
            key: one
            for key, one in documents.items()
            if key.owner.kind is not OwnerKind.REQUEST or (key.owner.tenant, key.owner.id) not in cut
        }
    requests = tables.setdefault(REQUESTS.name, {})
    for head in changes.changed_of(REQUEST_HEADS):
        requests[head.key] = replace(requests[head.key], head=head)
        if head.status is RequestStatus.REMOVED:
            requests[head.key] = id_of(requests[head.key])
    for outcome in changes.new_of(OUTCOMES):
        ended = requests[outcome.key]
        requests[outcome.key] = whole_request(ended, ended.head, own(outcome))
    for emptied in changes.new_of(EMPTIED_REQUESTS):
        requests[emptied.key] = without_content(requests[emptied.key], emptied)
    return replace(
        before,
        commit=before.commit + 1,
        time=max(before.time, changes.time),
        topics=(*before.topics, tuple(changes.topics))[-REMEMBERED:],
        tables=tables,
        events=_without_cuts(_events_after(_without_removed(before, changes), changes.events), changes.cuts),
    )


def without(snapshot: Snapshot, table: Table[Any, Any], keys: set[Any]) -> Snapshot:
    kept = {key: record for key, record in snapshot.of(table).items() if key not in keys}
    return replace(snapshot, tables={**snapshot.tables, table.name: kept})


def id_of(request: RequestRecord) -> RequestRecord:
    """What stays of a request that is removed."""
    return replace(request, input=b"", output=None, failure=None, reason="")


def _without_cuts(
    events: Mapping[Log, tuple[EventRecord, ...]], cuts: Iterable[Cut]
) -> Mapping[Log, tuple[EventRecord, ...]]:
    for cut in cuts:
        gone = {key.request_id for key in cut.requests}
        kept = [
            event
            for event in events.get((cut.session, cut.log_id), ())
            if (event.request_id not in gone if event.request_id else event.session_sequence > cut.place)
        ]
        events = {**events, (cut.session, cut.log_id): tuple(kept)}
    return events


def _without_removed(before: Snapshot, changes: Changes) -> Mapping[Log, tuple[EventRecord, ...]]:
    """The events, with what becomes of those that removals of items change."""
    logs = dict(before.events)
    for log, places in rewritten_events(changes).items():
        left = []
        for event in logs.get(log, ()):
            payload = places.get(event.session_sequence, event.event.payload)
            if payload is not None:
                changed = event.session_sequence in places
                left.append(blanked(event, payload) if changed else event)
        logs[log] = tuple(left)
    return logs


def _events_after(
    before: Mapping[Log, tuple[EventRecord, ...]], appended: Iterable[EventRecord]
) -> Mapping[Log, tuple[EventRecord, ...]]:
    fresh: dict[Log, list[EventRecord]] = {}
    for event in appended:
        fresh.setdefault((event.session, event.session_log_id), []).append(event)
    return {
        **before,
        **{log: (*before.get(log, ()), *events) for log, events in fresh.items()},
    }
