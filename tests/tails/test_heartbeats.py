"""A stream with nothing to say says so, and readers rely on it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from google.protobuf.duration_pb2 import Duration

from flowstate.v1.event_service_pb2 import TailEventsRequest
from flowstate.v1.flow_service_pb2 import StreamActionRequest
from flowstate_client.testing import GrpcProxy, record_events
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import Audience, Context
from flowstate_server.model.clock import Seconds
from flowstate_server.stores.store import Store
from tests.support.frames import check_frames, is_caught_up, kinds, next_frame, read_until
from tests.support.hosted import FAST, hosted, play, play_spec
from tests.support.wire import read_all

QUICK = EngineSettings(min_heartbeat=Seconds(0.02))


def duration(seconds: float) -> Duration:
    made = Duration()
    made.FromNanoseconds(round(seconds * 1e9))
    return made


async def test_a_quiet_log_beats(store: Store) -> None:
    end = asyncio.Event()

    async def body(ctx: Context) -> None:
        await end.wait()
        await ctx.emit("late", audience=Audience.CLIENT)

    async with hosted(play(body), store=store, settings=QUICK) as server:
        await server.dispatch("r1")
        call = server.events.TailEvents(TailEventsRequest(request_id="r1", heartbeat_interval=duration(0.03)))
        async with asyncio.timeout(10):
            frames = await read_until(call, is_caught_up)
            assert frames[0].started.heartbeat_interval == duration(0.03)
            for _ in range(4):
                frames.append(await next_frame(call))
                assert kinds(frames)[-1] == "heartbeat"
                assert frames[-1].heartbeat.latest_sequence == frames[-1].cursor.sequence
            end.set()
            frames += await read_all(call)
    assert [event.type for event in check_frames(frames)][-2:] == ["custom", "request.completed"]


async def test_a_log_that_is_busy_with_what_the_reader_may_not_see_beats_too(store: Store) -> None:
    """Otherwise the reader's watchdog would end a healthy stream."""
    end = asyncio.Event()

    async def body(ctx: Context) -> None:
        while not end.is_set():
            await ctx.emit("internal")
            await asyncio.sleep(0.005)  # busy, not flooded

    settings = replace(QUICK, flush_after=Seconds(0.001))
    async with hosted(play(body), store=store, settings=settings) as server:
        await server.dispatch("r1")
        call = server.events.TailEvents(TailEventsRequest(request_id="r1", heartbeat_interval=duration(0.05)))
        async with asyncio.timeout(10):
            frames = await read_until(call, is_caught_up)
            cursors: list[int] = []
            while len(set(cursors)) < 3:  # the cursor moves past what the reader may not see
                frames.append(await next_frame(call))
                assert kinds(frames)[-1] == "heartbeat"
                cursors.append(frames[-1].cursor.sequence)
            end.set()
            frames += await read_all(call)
    assert check_frames(frames)[-1].type == "request.completed"


@pytest.mark.parametrize(
    ("asked", "given"), [(None, 15), (0, 5), (0.001, 5), (4.999, 5), (7.5, 7.5), (45.001, 45), (10**9, 45)]
)
async def test_the_interval_is_brought_into_5_to_45_seconds(asked: float | None, given: float) -> None:
    async def body(ctx: Context) -> None: ...

    async with hosted(play(body)) as server:
        await server.run("r1")
        interval = None if asked is None else duration(asked)
        tail = server.events.TailEvents(TailEventsRequest(request_id="r1", heartbeat_interval=interval))
        assert (await read_all(tail))[0].started.heartbeat_interval == duration(given)
        action = StreamActionRequest(spec=play_spec("r1"), heartbeat_interval=interval)
        frames = await read_all(server.flows.StreamAction(action))
        assert frames[1].tail.started.heartbeat_interval == duration(given)


async def test_heartbeats_keep_the_watchdog_quiet(store: Store) -> None:
    async def body(ctx: Context) -> None:
        await asyncio.sleep(0.7)  # over twice the silence that the watchdog bears

    config = replace(FAST, heartbeat_interval=0.1)
    async with (
        hosted(play(body), store=store, settings=QUICK) as server,
        GrpcProxy(server.address) as proxy,
        server.client(proxy.target, config) as client,
    ):
        await server.dispatch("r1")
        events = await record_events(client.flows.handle("r1"))
        assert proxy.calls == ["/flowstate.v1.EventService/TailEvents"]
    assert events[-1].type == "request.completed"
