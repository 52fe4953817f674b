"""A reader that does not read slows nobody and costs little."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from flowstate.v1.event_service_pb2 import TailEventsRequest
from flowstate.v1.types_pb2 import Cursor
from flowstate_client import CustomEvent
from flowstate_client.testing import FaultProxy, record_events
from flowstate_server.errors import Reason
from flowstate_server.flows import Audience, Context
from flowstate_server.settings import ServerSettings
from flowstate_server.stores.contract.reads import EventPage
from flowstate_server.stores.store import Store
from tests.support.access_records import recorded_access
from tests.support.frames import Frame, check_frames, is_caught_up, read_until
from tests.support.hosted import FAST, hosted, play
from tests.support.wire import read_all, refused, refused_stream

EVENTS = 2_000
TEXT = "x" * 4_000


async def _flood(ctx: Context) -> int:
    for _ in range(EVENTS):
        await ctx.emit("n", TEXT, audience=Audience.CLIENT)
    return EVENTS


async def test_a_reader_that_stands_still_slows_neither_the_run_nor_other_tails(store: Store) -> None:
    begin = asyncio.Event()

    async def body(ctx: Context) -> int:
        await begin.wait()
        return await _flood(ctx)

    async with hosted(play(body), store=store) as server, server.client() as client:
        await server.dispatch("r1")
        still = [server.events.TailEvents(TailEventsRequest(request_id="r1")) for _ in range(5)]
        read = [await read_until(call, is_caught_up) for call in still]
        began = time.monotonic()
        begin.set()
        async with asyncio.timeout(30):
            events = await record_events(client.flows.handle("r1"))
            took = time.monotonic() - began
            assert sum(isinstance(event, CustomEvent) for event in events) == EVENTS
            assert server.open_streams == 5, "the run is over and they are still being written to"
            for call, frames in zip(still, read, strict=True):
                frames += await read_all(call)
                assert len(check_frames(frames)) == len(events)
    assert took < 15, f"{took:.1f} s for {EVENTS} events"


async def test_many_unread_tails_hold_no_queue_each(store: Store) -> None:
    """What waits is a page of each tail, not its backlog: wake-ups of a reader that stands still add nothing."""
    begin = asyncio.Event()
    read = 0

    async def body(ctx: Context) -> int:
        await begin.wait()
        return await _flood(ctx)

    async with hosted(play(body), store=store) as server:
        await server.dispatch("r1")
        call = server.events.TailEvents(TailEventsRequest(request_id="r1"))
        await read_until(call, is_caught_up)
        original = server.engine.store.read_events

        async def counted(*args: Any, **options: Any) -> EventPage | None:
            nonlocal read
            page = await original(*args, **options)
            read += 0 if page is None else len(page.events)
            return page

        server.engine.store.read_events = counted  # type: ignore[method-assign]
        begin.set()
        async with asyncio.timeout(30):
            await server.run("r1")
        assert read < EVENTS / 2, "it was read ahead of its reader"
        call.cancel()


async def test_a11_a_reader_that_stands_still_too_long_is_cut_off_and_told_where_it_stood(
    store: Store,
) -> None:
    options = ServerSettings(write_timeout=0.2)
    async with hosted(play(_flood), store=store, options=options) as server:
        await server.run("r1")
        with recorded_access() as access:
            call = server.events.TailEvents(TailEventsRequest(request_id="r1"))
            async with asyncio.timeout(10):
                await access.count(1)
        frames: list[Frame] = []
        refusal = await refused(read_until(call, lambda frame: False, frames))
        assert refusal.reason is Reason.SLOW_CONSUMER
        stood = int(refusal.metadata["sequence"])
        assert stood == frames[-1].cursor.sequence
        seen = check_frames([frame for frame in frames if frame.cursor.sequence <= stood])
        rest = await read_all(
            server.events.TailEvents(TailEventsRequest(request_id="r1", after=Cursor(sequence=stood)))
        )
        assert len(seen) + len(check_frames(rest, stood)) == EVENTS + 3


async def test_the_client_resumes_after_it_was_cut_off_as_slow(store: Store) -> None:
    options = ServerSettings(write_timeout=0.2)
    small_window = replace(FAST, channel_options=(("grpc.http2.bdp_probe", 0),))
    async with (
        hosted(play(_flood), store=store, options=options) as server,
        FaultProxy(server.address) as faults,
        server.client(faults.target, small_window) as client,
    ):
        await server.run("r1")
        with recorded_access() as access:
            numbers = 0
            async with asyncio.timeout(30), client.flows.handle("r1").events() as events:
                async for event in events:
                    if isinstance(event, CustomEvent):
                        numbers += 1
                        if numbers == 1:
                            await access.count(1)  # it reads nothing until the server gave up
            codes = [record.__dict__["code"] for record in access.records]
    assert numbers == EVENTS
    assert codes[0] == "RESOURCE_EXHAUSTED"


async def test_an_unread_tail_is_gone_with_its_reader(store: Store) -> None:
    async with hosted(play(_flood), store=store) as server:
        await server.run("r1")
        calls = [server.events.TailEvents(TailEventsRequest(request_id="r1")) for _ in range(20)]
        for call in calls:
            await call.read()
            call.cancel()
        async with asyncio.timeout(10):
            await server.no_streams()
        assert (
            await refused_stream(server.events.TailEvents(TailEventsRequest()))
        ).reason is Reason.VALIDATION_FAILED
