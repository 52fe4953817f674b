"""Tails resume without a hole and without a repeat, and say so when that is not to be had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from flowstate_client import (
    ConnectError,
    Cursor,
    Event,
    FlowStateClient,
    ItemDelta,
    ProtocolError,
    RequestCompleted,
    RequestNotFound,
    Trimmed,
    Unavailable,
)
from flowstate_client.testing import FaultProxy, GrpcProxy, record_events
from tests.client.conftest import FAST
from tests.client.fake_tails import Tail, refuse
from tests.client.fakes import FakeServer


def sequences(events: list[Event]) -> list[int]:
    return [event.sequence for event in events]


async def test_a_tail_yields_everything_and_ends(server: FakeServer, client: FlowStateClient) -> None:
    await server.events.log.append("a", "b", "c")
    await server.events.log.finish({"n": 1})
    events = await record_events(client.flows.handle("req_1"))
    assert sequences(events) == [1, 2, 3, 4]
    match events[0], events[-1]:
        case ItemDelta(text="a", type="item.delta", cursor=cursor), RequestCompleted(output={"n": 1}):
            assert cursor == Cursor("log-1", 1)
        case _:
            pytest.fail(str(events))
    await server.events.wait_live(0)
    assert server.events.dropped == 0, "a tail that ended must not look like one that was broken off"


async def test_cut_connections_leave_no_hole_and_no_repeat(
    server: FakeServer, proxy: FaultProxy, proxied: FlowStateClient
) -> None:
    log = server.events.log
    seen: list[Event] = []
    async with asyncio.timeout(20), proxied.flows.handle("req_1").events() as events:
        for number in range(60):
            await log.append(f"{number}")
            if number % 7 == 3:
                proxy.cut()
            if number % 2:
                seen.append(await anext(events))
        await log.finish()
        seen += [event async for event in events]
    assert sequences(seen) == list(range(1, 62))
    resumed = [request.after.log_id for request in server.events.requests if request.after.sequence]
    assert len(resumed) >= 3
    assert set(resumed) == {"log-1"}


async def test_a_cut_in_the_middle_of_a_frame(
    server: FakeServer, proxy: FaultProxy, proxied: FlowStateClient
) -> None:
    await server.events.log.append(*("x" * 3000 for _ in range(40)))
    await server.events.log.finish()
    proxy.cut_after(20_001)
    async with asyncio.timeout(20), proxied.flows.handle("req_1").events() as stream:
        events = []
        async for event in stream:
            events.append(event)
            if event.sequence == 11:
                proxy.cut_after(7001)
    assert sequences(events) == list(range(1, 42))
    assert len(server.events.requests) > 1


async def test_ok_without_ended_is_resumed(server: FakeServer) -> None:
    await server.events.log.append(*"abcdefgh")
    await server.events.log.finish()
    async with GrpcProxy(server.target) as early:
        early.end_streams_after(2, times=3)
        async with FlowStateClient.connect(early.target, config=FAST) as client:
            events = await record_events(client.flows.handle("req_1"))
    assert sequences(events) == list(range(1, 10))
    assert [request.after.sequence for request in server.events.requests] == [0, 2, 4, 6]


async def test_the_watchdog_reconnects_after_three_heartbeats(
    server: FakeServer, proxy: FaultProxy, proxied: FlowStateClient
) -> None:
    server.events.heartbeat = 0.1
    stalls = 0

    async def freezes(request: Any, context: Any) -> AsyncIterator[Tail]:
        nonlocal stalls
        if stalls < 2:
            stalls += 1
            yield server.events.started(request.after.sequence)
            events = server.events.log.events[request.after.sequence :][:1]
            yield server.events.batch(request.after.sequence, events)
            await asyncio.Event().wait()
        async for frame in server.events.follow(request, context):
            yield frame

    server.events.serve = freezes
    await server.events.log.append("a", "b", "c")
    await server.events.log.finish()
    async with asyncio.timeout(5):
        events = await record_events(proxied.flows.handle("req_1"))
    assert sequences(events) == [1, 2, 3, 4]
    assert len(server.events.requests) == 3
    await server.events.wait_live(0)


async def test_heartbeats_keep_a_silent_tail_alive_and_move_the_cursor(
    server: FakeServer, client: FlowStateClient
) -> None:
    server.events.heartbeat = 0.25

    async def quiet(request: Any, context: Any) -> AsyncIterator[Tail]:
        yield server.events.started(request.after.sequence)
        for beat in range(8):  # events that are not for this caller pass by: the cursor moves
            await asyncio.sleep(0.12)  # over all longer than the silence that the watchdog bears
            yield server.events.heartbeat_frame(beat)
        yield server.events.batch(7, server.events.log.events[7:8])
        yield server.events.ended(8)

    server.events.serve = quiet
    await server.events.log.append(*"abcdefgh")
    stream = client.flows.handle("req_1").events()
    assert sequences([event async for event in stream]) == [8]
    assert stream.cursor == Cursor("log-1", 8)
    assert len(server.events.requests) == 1


async def test_a_slow_consumer_is_resumed(server: FakeServer, client: FlowStateClient) -> None:
    async def too_slow(request: Any, context: Any) -> AsyncIterator[Tail]:
        if len(server.events.requests) == 1:
            yield server.events.started(0)
            yield server.events.batch(0, server.events.log.events[:1])
            await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "SLOW_CONSUMER", sequence="1")
        async for frame in server.events.follow(request, context):
            yield frame

    server.events.serve = too_slow
    await server.events.log.append("a", "b")
    await server.events.log.finish()
    assert sequences(await record_events(client.flows.handle("req_1"))) == [1, 2, 3]


async def test_retry_info_is_honoured(server: FakeServer, client: FlowStateClient) -> None:
    times: list[float] = []

    async def drains(request: Any, context: Any) -> AsyncIterator[Tail]:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING", retry_after=0.3)
        async for frame in server.events.follow(request, context):
            yield frame

    server.events.serve = drains
    await server.events.log.finish()
    assert sequences(await record_events(client.flows.handle("req_1"))) == [1]
    assert times[1] - times[0] >= 0.3


async def test_a_trimmed_range_is_yielded_once(server: FakeServer, client: FlowStateClient) -> None:
    async def swept(request: Any, context: Any) -> AsyncIterator[Tail]:
        yield server.events.started(0)
        yield server.events.trimmed(0, 1, 3)
        if len(server.events.requests) == 1:
            return  # breaks off between the notice and its batch; the server repeats the notice
        yield server.events.batch(0, server.events.log.events[3:])
        yield server.events.ended(5)

    server.events.serve = swept
    await server.events.log.append(*"abcd")
    await server.events.log.finish()
    events = await record_events(client.flows.handle("req_1"))
    assert [type(event) for event in events] == [Trimmed, ItemDelta, RequestCompleted]
    assert (events[0].first, events[0].last) == (1, 3)  # type: ignore[attr-defined]
    assert (events[0].request_id, events[0].session_id) == ("req_1", "sess_1")


@pytest.mark.parametrize("fault", ["hole", "repeat", "back", "other log", "wrong start"])
async def test_a_tail_that_breaks_its_contract_is_a_protocol_error(
    server: FakeServer, client: FlowStateClient, fault: str
) -> None:
    events = server.events

    async def broken(request: Any, context: Any) -> AsyncIterator[Tail]:
        yield events.started(2 if fault == "wrong start" else 0)
        yield events.batch(0, events.log.events[:2])
        if fault == "hole":
            yield events.batch(3, events.log.events[3:4])
        elif fault == "repeat":
            yield events.batch(2, events.log.events[1:3])
        elif fault == "back":
            yield events.heartbeat_frame(1)
        else:
            events.log.log_id = "log-2"
            yield events.batch(2, events.log.events[2:3])

    events.serve = broken
    await events.log.append(*"abcdef")
    stream = client.flows.handle("req_1").events()
    with pytest.raises(ProtocolError):
        await record_events(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await events.wait_live(0)


async def test_events_after_a_cursor_an_event_or_a_sequence(
    server: FakeServer, client: FlowStateClient
) -> None:
    await server.events.log.append(*"abc")
    await server.events.log.finish()
    run = client.flows.handle("req_1")
    first, second, *_ = await record_events(run)
    assert sequences([e async for e in run.events(after=second)]) == [3, 4]
    assert sequences([e async for e in run.events(after=first.cursor)]) == [2, 3, 4]
    assert sequences([e async for e in run.events(after=3)]) == [4]
    with pytest.raises(ValueError, match="after"):
        run.events(after=-1)


async def test_replay_only_does_not_wait(server: FakeServer, client: FlowStateClient) -> None:
    await server.events.log.append("a")
    stream = client.flows.handle("req_1").events(replay_only=True)
    assert sequences([event async for event in stream]) == [1]


async def test_an_error_of_the_request_is_raised(server: FakeServer, client: FlowStateClient) -> None:
    async def unknown(request: Any, context: Any) -> AsyncIterator[Tail]:
        await refuse(context, grpc.StatusCode.NOT_FOUND, "REQUEST_NOT_FOUND", request_id="req_1")
        yield Tail()

    server.events.serve = unknown
    with pytest.raises(RequestNotFound) as caught:
        await record_events(client.flows.handle("req_1"))
    assert caught.value.method == "EventService/TailEvents"
    assert len(server.events.requests) == 1


async def test_max_outage_raises(server: FakeServer, proxy: FaultProxy, proxied: FlowStateClient) -> None:
    await server.events.log.append("a")
    async with proxied.flows.handle("req_1").events(max_outage=0.3) as events:
        assert (await anext(events)).sequence == 1
        began = asyncio.get_running_loop().time()
        await proxy.refuse()
        with pytest.raises(ConnectError):
            await anext(events)
        assert 0.2 < asyncio.get_running_loop().time() - began < 3


async def test_a_tail_that_never_began_gives_up(proxy: FaultProxy, proxied: FlowStateClient) -> None:
    await proxy.refuse()
    with pytest.raises(Unavailable):
        async with asyncio.timeout(20):
            await record_events(proxied.flows.handle("req_1").events(max_outage=0.2))


async def test_an_outage_is_survived(server: FakeServer, proxy: FaultProxy, proxied: FlowStateClient) -> None:
    await server.events.log.append("a")
    async with asyncio.timeout(20), proxied.flows.handle("req_1").events() as events:
        assert (await anext(events)).sequence == 1
        await proxy.refuse()
        waiting = asyncio.ensure_future(anext(events))
        await server.events.wait_live(0)
        await server.events.log.append("b")
        await proxy.accept()
        assert (await waiting).sequence == 2


async def test_stream_action_starts_and_tails_in_one_call(
    server: FakeServer, client: FlowStateClient
) -> None:
    await server.events.log.append("a")
    await server.events.log.finish()
    async with client.flows.stream("chat", "say", {"message": "hi"}, user_id="u1") as events:
        assert server.flows.seen == []
        assert sequences([event async for event in events]) == [1, 2]
        assert events.run.session_id == "sess_1"
        assert events.run.request_id == server.flows.seen[0].spec.request_id
    assert server.events.requests == []


async def test_stream_action_repeats_with_its_id_then_resumes_as_a_tail(
    server: FakeServer, client: FlowStateClient
) -> None:
    calls = 0

    async def stumbles(request: Any, context: Any) -> AsyncIterator[Tail]:
        nonlocal calls
        calls += 1
        if calls == 1:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        if calls == 2:
            yield server.events.started(0)
            yield server.events.batch(0, server.events.log.events[:1])
            return
        async for frame in server.events.follow(request, context):
            yield frame

    server.events.serve = stumbles
    await server.events.log.append("a", "b")
    await server.events.log.finish()
    stream = client.flows.stream("chat", "say")
    assert sequences([event async for event in stream]) == [1, 2, 3]
    first, second = server.flows.seen
    assert first == second
    assert first.spec.request_id.startswith("req_")
    (resumed,) = server.events.requests
    assert (resumed.request_id, resumed.after.sequence) == (first.spec.request_id, 1)


async def test_a_frozen_connection_is_left_for_a_new_one(server: FakeServer, proxy: FaultProxy) -> None:
    server.events.heartbeat = 0.2
    await server.events.log.append("a")
    config = replace(FAST, keepalive_time=1.0, keepalive_timeout=1.0, connect_timeout=0.5)
    async with (
        FlowStateClient.connect(proxy.target, config=config) as client,
        client.flows.handle("req_1").events() as events,
        asyncio.timeout(15),
    ):
        await anext(events)
        proxy.stall(also_new=False)
        await server.events.log.append("b")
        assert (await anext(events)).sequence == 2
        assert proxy.accepted == 2
