"""What a group's batches are answered and what they change, where no store can bring it about."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace

import pytest

from flowstate_server.errors import (
    VersionMismatchError,
)
from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import (
    ProcessRecord,
    SessionHead,
    StateRecord,
)
from flowstate_server.model.scopes import (
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.stores.commit import decide as decided
from flowstate_server.stores.commit.decide import BrokenChange
from flowstate_server.stores.contract.tables import (
    REQUEST_HEADS,
    SESSION_HEADS,
    STATES,
)
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    AtVersion,
    Batch,
    Changed,
    ChangeState,
    CommitResult,
    DeleteState,
    FenceProcess,
    RenewLease,
    RequestCancel,
    RequireRun,
    RequireSession,
    UpdateSession,
)
from flowstate_server.testing.store_contract.builders import (
    PROCESS,
    finish,
    increment,
    note,
    put,
)
from tests.unit.stores.groups import (
    ADA,
    NOW,
    REQUEST,
    SESSION,
    decide,
    loaded,
    ok,
)


def test_pure() -> None:
    records = loaded()
    before = copy.deepcopy(records)
    batches: list[Batch] = [
        (RequireRun(REQUEST, PROCESS), AppendEvents(SESSION, (note(),), REQUEST)),
        (UpdateSession(SESSION, {"title": "t"}),),
        (finish(REQUEST),),
    ]
    assert decide(batches, records) == decide(batches, records)
    assert records == before


def test_places_continue_from_the_heads() -> None:
    appends = AppendEvents(SESSION, (note("a"), note("b")), REQUEST)
    _, changes = decide([(appends,), (AppendEvents(SESSION, (note("c"),)),), (appends,)])
    places = [(event.session_sequence, event.sequence, event.request_id) for event in changes.events]
    assert places == [
        (8, 5, "request-1"),
        (9, 6, "request-1"),
        (10, 0, ""),
        (11, 7, "request-1"),
        (12, 8, "request-1"),
    ]
    assert changes.changed_of(SESSION_HEADS) == [SessionHead(SESSION, "log", 12, 2, NOW)]
    [head] = changes.changed_of(REQUEST_HEADS)
    assert head.sequence == 8


def test_refused_batch_leaves_no_hole() -> None:
    good = (AppendEvents(SESSION, (note(),), REQUEST),)
    bad = (*good, increment(ADA), replace(increment(ADA), precondition=AtVersion(9)))
    answers, changes = decide([good, bad, good])
    assert isinstance(answers[1], VersionMismatchError)
    assert answers[1].refused_write == 2
    assert [event.session_sequence for event in changes.events] == [8, 9]
    assert changes.new_of(STATES) == []
    assert changes.topics == [Topic(TopicKind.REQUEST, *REQUEST), Topic(TopicKind.SESSION, *SESSION)]


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_refuses_its_batch_alone(error: type[BaseException]) -> None:
    def change(record: StateRecord) -> Changed:
        raise error

    good = (increment(user_scope("other")),)
    answers, changes = decide([good, (increment(ADA), ChangeState(ADA, change)), good])
    assert isinstance(answers[1], BrokenChange)
    assert isinstance(answers[1].__cause__, error)
    assert [state.version for state in changes.new_of(STATES)] == [2]


def test_stops_when_the_time_is_over() -> None:
    batches = [(increment(ADA),)] * 3
    answers, changes = decided(batches, loaded(), seconds=0)
    assert len(answers) == 1
    assert [state.version for state in changes.new_of(STATES)] == [1]


def test_each_record_is_changed_once() -> None:
    stored = StateRecord(ADA, version=3, incarnation="i", exists=True, text=b'{"n":3}', create_time=Micros(2))
    _, changes = decide([(increment(ADA),), (increment(ADA),)], loaded(states={ADA: stored}))
    [state] = changes.changed_of(STATES)
    assert (state.version, state.text, state.incarnation) == (5, b'{"n":5}', "i")
    assert (state.create_time, state.update_time) == (2, NOW)
    assert changes.new_of(STATES) == []


def test_state_is_not_parsed_again() -> None:
    value: JsonObject = {"n": 1}

    def first(record: StateRecord) -> Changed:
        return Changed(value, b"not even JSON")

    seen: list[object] = []

    def second(record: StateRecord) -> Changed:
        seen.append(record.state)
        return Changed({}, b"{}")

    answers, _ = decide([(ChangeState(ADA, first),), (ChangeState(ADA, second),)])
    assert seen == [value]
    state = ok(answers[0]).results[0].state
    assert state is not None
    assert state.state is value


def test_topics() -> None:
    scene: list[tuple[Batch, set[Topic]]] = [
        ((RequestCancel(REQUEST, "why"),), {_topic("request"), Topic(TopicKind.PROCESS, NO_TENANT, PROCESS)}),
        ((AppendEvents(SESSION, (note(),), REQUEST),), {_topic("request"), _topic("session")}),
        ((put(session_scope(SESSION), {}),), {_topic("session")}),
        ((put(request_scope(REQUEST), {}),), set()),
        ((put(user_scope("u", isolated_flow="f"), {}),), {Topic(TopicKind.USER, NO_TENANT, "u")}),
        ((put(org_scope("o"), {}),), {Topic(TopicKind.ORG, NO_TENANT, "o")}),
        ((RenewLease(PROCESS, Micros(5)),), set()),
        ((RequireRun(REQUEST, PROCESS), RequireSession(SESSION, "log"), DeleteState(ADA)), set()),
    ]
    for batch, topics in scene:
        answers, changes = decide([batch])
        assert isinstance(answers[0], CommitResult), answers
        assert set(changes.topics) == topics, batch
        assert len(changes.topics) == len(topics)
    expired = loaded(processes={PROCESS: ProcessRecord(PROCESS, Micros(0), NOW)})
    _, changes = decide([(FenceProcess(PROCESS, NOW),)], expired)
    assert changes.topics == [Topic(TopicKind.PROCESS, NO_TENANT, PROCESS)]


def _topic(kind: str) -> Topic:
    return Topic(TopicKind.REQUEST, *REQUEST) if kind == "request" else Topic(TopicKind.SESSION, *SESSION)
