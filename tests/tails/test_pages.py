"""A log in pages shows what its tail shows."""

from __future__ import annotations

import asyncio

import pytest

from flowstate.v1.event_service_pb2 import ListEventsRequest, ListEventsResponse, TailEventsRequest
from flowstate.v1.events_pb2 import Event
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import Audience, Context
from flowstate_server.model.clock import Seconds
from flowstate_server.stores.store import Store
from tests.support.frames import check_frames, is_caught_up, read_until
from tests.support.hosted import Hosted, hosted, play
from tests.support.wire import TRUSTED, read_all

Metadata = tuple[tuple[str, str], ...]
PLANES = pytest.mark.parametrize("metadata", [(), TRUSTED], ids=["client", "trusted"])


async def _mixed(ctx: Context) -> None:
    for number in range(600):
        audience = Audience.CLIENT if number % 20 == 0 else Audience.INTERNAL
        await ctx.emit(f"{number}", audience=audience, transient=number % 3 == 0)


async def _page(server: Hosted, metadata: Metadata, after: int, size: int = 0) -> ListEventsResponse:
    request = ListEventsRequest(request_id="r1", after_sequence=after, page_size=size)
    return await server.events.ListEvents(request, metadata=metadata)


async def _all_pages(server: Hosted, metadata: Metadata, size: int) -> list[Event]:
    events: list[Event] = []
    after = 0
    while True:
        page = await _page(server, metadata, after, size)
        assert len(page.events) <= (size or 50)
        assert page.cursor.sequence > after or page.end_of_log
        assert all(after < event.sequence <= page.cursor.sequence for event in page.events)
        events += page.events
        after = page.cursor.sequence
        if page.end_of_log:
            return events


@PLANES
@pytest.mark.parametrize("size", [0, 1, 7, 50, 500])
async def test_all_pages_are_the_tail(store: Store, metadata: Metadata, size: int) -> None:
    async with hosted(play(_mixed), store=store) as server:
        await server.run("r1")
        tail = await read_all(server.events.TailEvents(TailEventsRequest(request_id="r1"), metadata=metadata))
        assert await _all_pages(server, metadata, size) == check_frames(tail)


async def test_the_size_of_a_page(store: Store) -> None:
    async with hosted(play(_mixed), store=store) as server:
        await server.run("r1")
        sizes = {
            size: len((await _page(server, TRUSTED, 0, size)).events)
            for size in (0, 1, 50, 500, 501, 2**31 - 1)
        }
    assert sizes == {0: 50, 1: 1, 50: 50, 500: 500, 501: 500, 2**31 - 1: 500}


async def test_a_page_stops_near_a_mebibyte(store: Store) -> None:
    async def body(ctx: Context) -> None:
        for _ in range(10):
            await ctx.emit("n", "x" * 300_000, audience=Audience.CLIENT)

    async with hosted(play(body), store=store) as server:
        await server.run("r1")
        page = await _page(server, (), 0, 500)
        assert len([event for event in page.events if event.type == "custom"]) == 3
        assert not page.end_of_log
        assert len(await _all_pages(server, (), 500)) == 13


async def test_a_swept_log_in_pages(store: Store) -> None:
    settings = EngineSettings(transient_retention=Seconds(0.0))
    async with hosted(play(_mixed), store=store, settings=settings) as server:
        await server.run("r1")
        await server.engine.sweeper.sweep()
        events = await _all_pages(server, TRUSTED, 40)
    assert not any(event.transient for event in events)
    assert [event.custom.name for event in events if event.type == "custom"] == [
        f"{number}" for number in range(600) if number % 3
    ]


@PLANES
async def test_pages_of_a_log_that_goes_on_and_then_its_tail(store: Store, metadata: Metadata) -> None:
    end, begun = asyncio.Event(), asyncio.Event()

    async def body(ctx: Context) -> None:
        await ctx.emit("shown", audience=Audience.CLIENT)
        await ctx.emit("hidden")
        await ctx.session.set_metadata(title="t")
        await ctx.emit("hidden")
        begun.set()
        await end.wait()

    async with hosted(play(body), store=store) as server:
        await server.dispatch("r1")
        await begun.wait()
        events = await _all_pages(server, metadata, 2)
        page = await _page(server, metadata, 0, 500)
        assert page.end_of_log, "the page reached the end as it stood"
        call = server.events.TailEvents(
            TailEventsRequest(request_id="r1", after=page.cursor), metadata=metadata
        )
        async with asyncio.timeout(10):
            frames = await read_until(call, is_caught_up)
            end.set()
            frames += await read_all(call)
        rest = check_frames(frames, page.cursor.sequence)
        ended = await _page(server, metadata, page.cursor.sequence, 500)
        whole = await _all_pages(server, metadata, 500)
    assert events == list(page.events)[: len(events)]
    assert list(ended.events) == rest
    assert [*page.events, *rest] == whole
    assert whole[-1].type == "request.completed"
