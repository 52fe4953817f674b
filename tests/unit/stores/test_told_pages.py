"""What commits tell of the pages that they make in logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from flowstate_server.model.events import Event
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.commit.told_pages import MOST_BYTES, MOST_EVENTS, told_pages
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.reads import EventPage
from flowstate_server.stores.contract.tables import REQUEST_HEADS, Changes
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import AppendEvents, RequireRun, UpdateSession, Write
from flowstate_server.testing.store_contract.builders import PROCESS, finish, new_request, note
from tests.unit.stores.groups import REQUEST, SESSION, decide, loaded

OF_REQUEST = Topic(TopicKind.REQUEST, *REQUEST)
OF_SESSION = Topic(TopicKind.SESSION, *SESSION)
APPEND = AppendEvents(SESSION, (note("a"), note("b")), REQUEST)


def changes_of(*writes: Write) -> Changes:
    return decide([(RequireRun(REQUEST, PROCESS), *writes)]).changes


def told(changes: Changes) -> Mapping[Topic, EventPage]:
    return told_pages(changes, lambda _: True)


def test_what_is_appended_is_told_in_both_logs_and_the_end_too() -> None:
    pages = told(changes_of(APPEND, finish(REQUEST)))
    assert {topic: len(page.events) for topic, page in pages.items()} == {OF_REQUEST: 3, OF_SESSION: 3}
    assert {topic: page.end for topic, page in pages.items()} == {OF_REQUEST: 7, OF_SESSION: 10}
    assert {topic: page.head.ended for topic, page in pages.items()} == {OF_REQUEST: True, OF_SESSION: False}


def test_only_what_is_wanted_is_told() -> None:
    changes = changes_of(APPEND)
    assert list(told_pages(changes, lambda topic: topic == OF_SESSION)) == [OF_SESSION]
    assert told_pages(changes, lambda topic: False) == {}


def test_nothing_is_told_of_a_log_that_begins() -> None:
    key = RequestKey(SESSION.tenant, "request-2")
    changes = changes_of(new_request(SESSION, key.request_id), AppendEvents(SESSION, (note(),), key))
    assert Topic(TopicKind.REQUEST, *key) in changes.topics
    assert list(told(changes)) == [OF_SESSION]


@pytest.mark.parametrize("write", [UpdateSession(SESSION, {"title": "t"}), DeleteSession(SESSION)])
def test_nothing_is_told_of_a_session_that_is_another(write: Write) -> None:
    """Nor of its requests, which nobody reads any more once it is deleted."""
    records = loaded()
    records.open_requests[SESSION] = list(records.of(REQUEST_HEADS).values())
    changes = decide([(APPEND, write)], records).changes
    assert {OF_REQUEST, OF_SESSION} <= {*changes.topics}
    assert told(changes) == {}


@pytest.mark.parametrize("events", [(note("x" * MOST_BYTES),), (note(),) * (MOST_EVENTS + 1)])
def test_nothing_is_told_of_large_pages(events: tuple[Event, ...]) -> None:
    assert told(changes_of(AppendEvents(SESSION, events, REQUEST))) == {}


def test_nothing_is_told_where_sequences_are_missing() -> None:
    changes = changes_of(APPEND)
    before, last = changes.events
    changes.events[:] = [replace(before, sequence=before.sequence - 1, session_sequence=7), last]
    assert told(changes) == {}
