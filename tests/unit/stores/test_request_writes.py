"""How requests end, and when leases do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flowstate_server.errors import (
    LeaseLostError,
    RequestTerminalError,
)
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventType
from flowstate_server.model.json_values import decode_json
from flowstate_server.model.records import (
    Outcome,
    ProcessRecord,
    RequestStatus,
    SessionHead,
    StateHead,
    StateRecord,
    TurnKey,
    TurnRecord,
)
from flowstate_server.model.scopes import (
    ScopeKey,
    org_scope,
    request_scope,
    session_scope,
)
from flowstate_server.stores.contract.tables import (
    OUTCOMES,
    REQUEST_HEADS,
    REQUESTS,
    SESSION_HEADS,
    STATES,
    TURNS,
)
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    FenceProcess,
)
from flowstate_server.testing.store_contract.builders import (
    PROCESS,
    finish,
    increment,
    new_request,
    note,
)
from tests.unit.stores.groups import (
    ADA,
    NOW,
    REQUEST,
    SESSION,
    decide,
    loaded,
    refusal,
)


def test_end_removes_the_request_scope_if_there_is_one() -> None:
    scope = request_scope(REQUEST)
    _, changes = decide([(finish(REQUEST),)])
    assert changes.removed_of(STATES) == []
    heads: dict[ScopeKey, StateHead] = {scope: StateHead(scope, 3, "i", exists=True)}
    _, changes = decide([(finish(REQUEST),)], loaded(state_heads=heads))
    assert changes.removed_of(STATES) == [scope]
    stored = {scope: StateRecord(scope, 3, "i", exists=True)}
    _, changes = decide([(increment(scope), finish(REQUEST))], loaded(states=stored))
    assert changes.removed_of(STATES) == [scope]
    assert changes.changed_of(STATES) == []
    _, changes = decide([(increment(scope), finish(REQUEST))])
    states = [changes.removed_of(STATES), changes.new_of(STATES), changes.changed_of(STATES)]
    assert states == [[], [], []]


def test_end_names_the_versions_of_its_own_commit() -> None:
    org, session = org_scope("acme"), session_scope(SESSION)
    heads: dict[ScopeKey, StateHead] = {
        org: StateHead(org, 6, "i", exists=False),
        ADA: StateHead(ADA, 1, "i", exists=True),
    }
    states = {ADA: StateRecord(ADA, 1, "i", exists=True)}
    end = replace(finish(REQUEST, (session, ADA, org, request_scope(REQUEST))), payload={"elapsed": 3})
    _, changes = decide([(increment(ADA), end)], loaded(state_heads=heads, states=states))
    payload = decode_json(changes.events[-1].event.payload)
    assert payload == {"elapsed": 3, "scope_versions": {"session": 0, "user": 2, "org": 6}}


def test_end_counts_a_turn() -> None:
    _, changes = decide([(finish(REQUEST),)])
    [head] = changes.changed_of(REQUEST_HEADS)
    assert (head.sequence, head.end_time, head.process) == (5, NOW, PROCESS)
    assert changes.changed_of(SESSION_HEADS) == [SessionHead(SESSION, "log", 8, 3, NOW)]
    assert changes.new_of(TURNS) == [TurnRecord(TurnKey(SESSION, "log", 3), "request-1")]
    assert changes.new_of(OUTCOMES) == [Outcome(REQUEST, b'"done"', None)]
    _, changes = decide([(finish(REQUEST, status=RequestStatus.ABORTED),)])
    assert (changes.new_of(TURNS), changes.changed_of(SESSION_HEADS)[0].turns) == ([], 2)


def test_request_of_one_group_is_whole_in_its_record() -> None:
    create = new_request(SESSION, "new")
    append = AppendEvents(SESSION, (note(),), create.key)
    answers, changes = decide([(create, append), (finish(create.key),), (append,)])
    assert isinstance(answers[2], RequestTerminalError)
    [request] = changes.new_of(REQUESTS)
    assert (request.head.sequence, request.head.status) == (2, RequestStatus.COMPLETED)
    assert changes.new_of(OUTCOMES) == [Outcome(create.key, b'"done"')]
    assert [turn.key.number for turn in changes.new_of(TURNS)] == [3]
    assert not changes.changed_of(REQUEST_HEADS)


@pytest.mark.parametrize(
    ("status", "event"),
    [(RequestStatus.IN_PROGRESS, finish(REQUEST).event), (RequestStatus.FAILED, note().type)],
)
def test_end_is_an_end(status: RequestStatus, event: EventType) -> None:
    assert isinstance(refusal(replace(finish(REQUEST), status=status, event=event)), ValueError)


def test_lease_expires_to_the_microsecond() -> None:
    for lease, over in ((0, True), (1, False)):
        records = loaded(processes={PROCESS: ProcessRecord(PROCESS, Micros(lease), NOW)})
        [answer], _ = decide([(FenceProcess(PROCESS, NOW),)], records)
        assert isinstance(answer, LeaseLostError) != over
