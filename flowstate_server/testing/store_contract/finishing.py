"""The end of a request: one commit, once."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import RequestNotFoundError, RequestTerminalError
from flowstate_server.model.events import EventType
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.json_values import JsonObject, decode_json
from flowstate_server.model.records import Failure, RequestStatus
from flowstate_server.model.scopes import RequestKey, org_scope, request_scope, session_scope, user_scope
from flowstate_server.stores.contract.writes import AppendEvents, DeleteState, FinishRequest, UpdateSession
from flowstate_server.testing.store_contract.builders import (
    ENDS,
    PROCESS,
    events_of,
    finish,
    head_of,
    increment,
    note,
    open_scene,
    put,
    request_of,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness


async def check_finish_is_one_commit(harness: StoreHarness) -> None:
    """A request's status, outcome, turn and terminal event are there together."""
    store = await harness.open()
    scene = await open_scene(store)
    last = AppendEvents(scene.session, (note("last"),), scene.request)
    result = await scene.commit(last, finish(scene.request, scene.scopes, payload={"elapsed": 12}))
    request = await request_of(store, scene.request)
    assert result.results[2].head == request.head
    assert (request.head.status, request.head.end_time) == (RequestStatus.COMPLETED, result.time)
    assert (request.head.sequence, request.head.process) == (2, PROCESS)
    assert (request.output, request.failure, request.input) == (b'"done"', None, b'{"message":"hello"}')
    events = await events_of(store, scene.request)
    assert [event.event.type for event in events] == [EventType.CUSTOM, EventType.REQUEST_COMPLETED]
    projection = await store.read_projection(scene.session, ())
    assert projection is not None
    assert (projection.active, projection.head.turns, projection.head.sequence) == ((), 1, 2)


async def check_every_end_is_kept(harness: StoreHarness) -> None:
    """Each way for a request to end is kept with its failure."""
    store = await harness.open()
    failure = Failure("WHY", "words", {"a": [1, 1.0, None, "ü"]}, "error-1", retryable=True)
    for status, event in ENDS.items():
        scene = await open_scene(store, request_id=status.value)
        known = None if status is RequestStatus.COMPLETED else failure
        await scene.commit(FinishRequest(scene.request, status, event, {}, (), failure=known))
        request = await request_of(store, scene.request)
        assert (request.head.status, request.failure, request.output) == (status, known, None)
        [end] = await events_of(store, scene.request)
        assert end.event.type is event


async def check_finish_is_refused_the_second_time(harness: StoreHarness) -> None:
    """A request that has ended does not end again, and the refused batch leaves no trace."""
    store = await harness.open()
    scene = await open_scene(store)
    with refused(RequestNotFoundError, request_id="unknown"):
        await store.commit((finish(RequestKey(NO_TENANT, "unknown")),))
    await scene.finish()
    before = await request_of(store, scene.request)
    with refused(RequestTerminalError, request_id="request-1"):
        await store.commit(
            (increment(user_scope("ada")), finish(scene.request, status=RequestStatus.ABORTED))
        )
    assert await request_of(store, scene.request) == before
    assert len(await events_of(store, scene.request)) == 1
    assert not (await state_of(store, user_scope("ada"))).exists


async def check_racing_ends_end_once(harness: StoreHarness) -> None:
    """Of many ends at once exactly one wins, and the status is that of its event."""
    store = await harness.open()
    scene = await open_scene(store)
    answers = await settled(*(scene.finish(status) for status in ENDS for _ in range(3)))
    assert sum(not isinstance(answer, Exception) for answer in answers) == 1
    assert sum(isinstance(answer, RequestTerminalError) for answer in answers) == len(answers) - 1
    [end] = await events_of(store, scene.request)
    assert end.event.type is ENDS[(await head_of(store, scene.request)).status]


async def check_nothing_follows_the_end(harness: StoreHarness) -> None:
    """No write adds to the log of a request that has ended."""
    store = await harness.open()
    scene = await open_scene(store)
    append = AppendEvents(scene.session, (note(),), scene.request)
    with refused(RequestTerminalError):
        await scene.commit(finish(scene.request, scene.scopes), append)
    await scene.finish()
    for write in (
        append,
        increment(user_scope("ada"), request=scene.request),
        UpdateSession(scene.session, {"title": "t"}, scene.request),
    ):
        with refused(RequestTerminalError, request_id="request-1"):
            await store.commit((write,))
    [end] = await events_of(store, scene.request)
    assert end.event.type.terminal


async def check_scope_versions(harness: StoreHarness) -> None:
    """A terminal event names the versions that the request's records have in that very commit."""
    store = await harness.open()
    scene = await open_scene(store)
    user, session, org = user_scope("ada"), session_scope(scene.session), org_scope("acme")
    await store.commit((put(user, {}), put(user, {"a": 1}), put(org, {}), DeleteState(org)))
    await scene.commit(
        increment(user), put(request_scope(scene.request), {}), finish(scene.request, (session, user, org))
    )
    [end] = await events_of(store, scene.request)
    assert decode_json(end.event.payload) == {"scope_versions": {"session": 0, "user": 3, "org": 1}}


async def check_the_terminal_payload_is_kept(harness: StoreHarness) -> None:
    """The terminal event keeps the caller's payload beside the scope versions."""
    store = await harness.open()
    scene = await open_scene(store)
    payload: JsonObject = {"output": {"n": 2**63 - 1, "d": 1.0, "t": "\0ü"}, "elapsed": 3}
    await scene.finish(payload=payload)
    [end] = await events_of(store, scene.request)
    assert decode_json(end.event.payload) == {**payload, "scope_versions": {"session": 0, "user": 0}}


async def check_only_completed_requests_are_turns(harness: StoreHarness) -> None:
    """Completed requests are counted as turns 1, 2, 3, ..., others are not."""
    store = await harness.open()
    turns = []
    for number, status in enumerate((*ENDS, *ENDS)):
        scene = await open_scene(store, request_id=f"request-{number}")
        await scene.finish(status)
        projection = await store.read_projection(scene.session, ())
        assert projection is not None
        turns.append(projection.head.turns)
    assert turns == [1, 1, 1, 1, 2, 2, 2, 2]


async def check_end_at_another_handle_is_known(harness: StoreHarness) -> None:
    """A request that was ended through another handle is ended for every handle, whatever that remembers of it."""
    one, other = await harness.open(), await harness.open()
    for number in range(5):
        scene = await open_scene(one, request_id=f"request-{number}")
        await scene.append(note())
        elsewhere = replace(scene, store=other)
        await elsewhere.append(note())
        await elsewhere.finish()
        with refused(RequestTerminalError, request_id=f"request-{number}"):
            await scene.append(note())
        events = await events_of(one, scene.request)
        assert [event.sequence for event in events] == [1, 2, 3]
        projection = await one.read_projection(scene.session, ())
        assert projection is not None
        assert projection.head.turns == number + 1
