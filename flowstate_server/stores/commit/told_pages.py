"""What a commit has appended to logs, as those who follow them need not read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from flowstate_server.model.events import EventRecord, LogHead
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.reads import EventPage
from flowstate_server.stores.contract.tables import Changes, Table
from flowstate_server.stores.contract.watch import Topic, TopicKind

MOST_EVENTS = 64
MOST_BYTES = 16 * 1024
"""Of their payloads. A few pages are kept for each reader who is busy."""


def told_pages(changes: Changes, wanted: Callable[[Topic], bool]) -> Mapping[Topic, EventPage]:
    """The page that ``changes`` have made in each ``wanted`` log.

    There is none of a log to which more has happened than that events were appended. Whoever stands where a page begins
    would find in the store what it holds, whatever others have committed meanwhile: sequences are given without holes,
    and what has one stays.
    """
    topics = [topic for topic in changes.topics if topic.kind in _LOGS and wanted(topic)]
    if not topics or removes(changes):
        return {}
    events: dict[Topic, list[EventRecord]] = {topic: [] for topic in topics}
    for record in changes.events:
        tenant, session_id = record.session
        for topic in (
            Topic(TopicKind.REQUEST, tenant, record.request_id),
            Topic(TopicKind.SESSION, tenant, session_id),
        ):
            if topic in events:
                events[topic].append(record)
    heads = _heads(changes)
    return {
        topic: EventPage(tuple(found), heads[topic], heads[topic].sequence)
        for topic, found in events.items()
        if found and topic in heads and _fits(found, topic, heads[topic])
    }


def removes(changes: Changes) -> bool:
    """Whether ``changes`` take out of logs what was told of them before."""
    return bool(
        changes.cuts
        or any(changes.put_of(table) for table in _REWRITING)
        or any(session.deleted for session in changes.changed_of(tables.SESSIONS))
    )


def _fits(found: list[EventRecord], topic: Topic, head: LogHead) -> bool:
    """Whether they are all up to the head, and not too much. A copy that is imported may have holes."""
    place = attrgetter(_LOGS[topic.kind])
    ends = place(found[0]), place(found[-1])
    return (
        ends == (head.sequence - len(found) + 1, head.sequence)
        and len(found) <= MOST_EVENTS
        and sum([record.size for record in found]) <= MOST_BYTES
    )


_LOGS = {TopicKind.REQUEST: "sequence", TopicKind.SESSION: "session_sequence"}
"""What counts the events of each."""
_REWRITING: tuple[Table[Any, Any], ...] = (tables.ITEM_REMOVALS, tables.EMPTIED_REQUESTS)


def _heads(changes: Changes) -> Mapping[Topic, LogHead]:
    """Of the logs that went on: not of those that began, nor of a session that is another by now or was deleted."""
    others = {session.key for session in changes.put_of(tables.SESSIONS)}
    heads = {
        Topic(TopicKind.REQUEST, *head.key): LogHead(head.log_id, head.sequence, head.status.ended)
        for head in changes.changed_of(tables.REQUEST_HEADS)
        if head.session not in others
    }
    for head in changes.changed_of(tables.SESSION_HEADS):
        if head.key not in others:
            heads[Topic(TopicKind.SESSION, *head.key)] = LogHead(
                head.log_id, head.sequence, ended=False, floor=head.floor
            )
    return heads
