"""The frames of a tail as they are on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from flowstate.v1.event_service_pb2 import TailEventsRequest
from flowstate.v1.types_pb2 import END_REASON_REPLAY_DONE, END_REASON_TERMINAL, Cursor
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import Audience, Context
from flowstate_server.model.clock import Seconds
from flowstate_server.stores.store import Store
from tests.support.frames import (
    MAX_EVENTS,
    Frame,
    check_frames,
    events_of,
    is_caught_up,
    kind,
    kinds,
    read_until,
)
from tests.support.hosted import Hosted, hosted, play
from tests.support.wire import TRUSTED, read_all

CLIENT = Audience.CLIENT
PLANES = pytest.mark.parametrize("metadata", [(), TRUSTED], ids=["client", "trusted"])


async def _tail(server: Hosted, metadata: tuple[tuple[str, str], ...] = (), **fields: object) -> list[Frame]:
    request = TailEventsRequest(request_id="r1", **fields)  # type: ignore[arg-type]
    return await read_all(server.events.TailEvents(request, metadata=metadata))


def _custom(frames: Sequence[Frame]) -> list[str]:
    return [event.custom.name for event in events_of(frames) if event.type == "custom"]


@PLANES
async def test_many_events_come_in_full_batches(store: Store, metadata: tuple[tuple[str, str], ...]) -> None:
    async def body(ctx: Context) -> None:
        for number in range(1_000):
            await ctx.emit(f"{number}", audience=CLIENT)

    async with hosted(play(body), store=store) as server:
        await server.run("r1")
        frames = await _tail(server, metadata)
    check_frames(frames)
    assert _custom(frames) == [f"{number}" for number in range(1_000)]
    sizes = [len(frame.batch.events) for frame in frames if kind(frame) == "batch"]
    assert len(sizes) == 4
    assert max(sizes) == MAX_EVENTS
    assert kinds(frames) == ["started", "batch", "batch", "batch", "batch", "caught_up", "ended"]
    assert frames[-1].ended.reason == END_REASON_TERMINAL


@PLANES
async def test_large_events_close_a_batch(store: Store, metadata: tuple[tuple[str, str], ...]) -> None:
    sizes = [20_000] * 40 + [1_000_000] + [10] * 10 + [300_000] * 2 + [200_000] * 3

    async def body(ctx: Context) -> None:
        for number, size in enumerate(sizes):
            if size == 1_000_000:
                await ctx.add_item("custom", "x" * size)
            else:
                await ctx.emit(f"{number}", "x" * size, audience=CLIENT)

    async with hosted(play(body), store=store) as server:
        await server.run("r1")
        frames = await _tail(server, metadata)
    events = check_frames(frames)
    assert [len(event.custom.data.json) - 2 for event in events if event.type == "custom"] == [
        size for size in sizes if size != 1_000_000
    ]
    assert sum(event.type == "item.done" for event in events) == 1
    assert 4 < sum(kind(frame) == "batch" for frame in frames) < 20


@PLANES
async def test_a_live_tail(store: Store, metadata: tuple[tuple[str, str], ...]) -> None:
    turns = asyncio.Semaphore(0)

    async def body(ctx: Context) -> None:
        for number in range(5):
            await turns.acquire()
            await ctx.emit(f"{number}", audience=CLIENT)
            await ctx.emit("internal")
        await turns.acquire()

    async with hosted(play(body), store=store) as server:
        await server.dispatch("r1")
        call = server.events.TailEvents(TailEventsRequest(request_id="r1"), metadata=metadata)
        async with asyncio.timeout(10):
            frames = await read_until(call, is_caught_up)
            assert frames[0].started.earliest_sequence == 1
            assert frames[0].started.latest_sequence >= 2
            for number in range(5):
                turns.release()
                await read_until(call, lambda frame, name=f"{number}": name in _custom([frame]), frames)  # type: ignore[misc]
            turns.release()
            frames += await read_all(call)
    check_frames(frames)
    assert [name for name in _custom(frames) if name != "internal"] == list("01234")
    assert kinds(frames)[-2:] == ["batch", "ended"]


@PLANES
async def test_a_tail_goes_on_behind_the_cursor_of_any_frame(
    store: Store, metadata: tuple[tuple[str, str], ...]
) -> None:
    async def body(ctx: Context) -> None:
        for number in range(700):
            audience = CLIENT if number % 50 == 0 else Audience.INTERNAL
            await ctx.emit(f"{number}", audience=audience, transient=bool(number % 3))

    async with hosted(play(body), store=store) as server:
        await server.run("r1")
        whole = await _tail(server, metadata)
        everything = [event.sequence for event in check_frames(whole)]
        assert len(everything) > 16
        for frame in whole:
            rest = await _tail(server, metadata, after=frame.cursor)
            seen = [event.sequence for event in check_frames(rest, frame.cursor.sequence)]
            assert seen == [one for one in everything if one > frame.cursor.sequence]


async def test_the_cursor_moves_past_what_the_plane_may_not_see(store: Store) -> None:
    """A client that was told "caught up" resumes behind everything, not behind the last event it saw."""
    end = asyncio.Event()

    async def body(ctx: Context) -> None:
        await ctx.emit("seen", audience=CLIENT)
        for _ in range(600):
            await ctx.emit("hidden")
        await ctx.session.set_metadata(title="t")  # commits what was emitted
        for _ in range(300):
            await ctx.emit("hidden")
        await end.wait()

    async with hosted(play(body), store=store) as server:
        await server.dispatch("r1")
        call = server.events.TailEvents(TailEventsRequest(request_id="r1"))
        async with asyncio.timeout(10):
            frames = await read_until(
                call, lambda frame: any(one.type == "session.metadata_changed" for one in frame.batch.events)
            )
            end.set()
            frames += await read_all(call)
    events = check_frames(frames)
    (titled,) = [event for event in events if event.type == "session.metadata_changed"]
    assert titled.sequence > 600
    assert events[-1].sequence > 900
    assert [event.custom.name for event in events if event.type == "custom"] == ["seen"]


async def test_latest_shows_what_comes_next(store: Store) -> None:
    end = asyncio.Event()
    begun = asyncio.Event()

    async def body(ctx: Context) -> None:
        await ctx.emit("before", audience=CLIENT)
        await ctx.session.set_metadata(title="t")
        begun.set()
        await end.wait()
        await ctx.emit("after", audience=CLIENT)

    async with hosted(play(body), store=store) as server:
        await server.dispatch("r1")
        await begun.wait()
        call = server.events.TailEvents(TailEventsRequest(request_id="r1", latest=True))
        async with asyncio.timeout(10):
            frames = await read_until(call, is_caught_up)
            end.set()
            frames += await read_all(call)
        ended = await _tail(server, latest=True)
    events = check_frames(frames, frames[0].started.latest_sequence)
    assert [event.type for event in events] == ["custom", "request.completed"]
    assert kinds(ended) == ["started", "caught_up", "ended"]


async def test_replay_only_ends_where_the_log_stands(store: Store) -> None:
    end = asyncio.Event()
    begun = asyncio.Event()

    async def body(ctx: Context) -> None:
        await ctx.session.set_metadata(title="t")
        begun.set()
        await end.wait()

    async with hosted(play(body), store=store) as server:
        await server.dispatch("r1")
        await begun.wait()
        frames = await _tail(server, replay_only=True)
        assert frames[-1].ended.reason == END_REASON_REPLAY_DONE
        assert [event.type for event in check_frames(frames)][-1] == "session.metadata_changed"
        end.set()
        cursor = frames[-1].cursor
        rest = await _tail(server, replay_only=True, after=cursor)
        while rest[-1].ended.reason != END_REASON_TERMINAL:
            rest = await _tail(server, after=cursor)
    assert [event.type for event in check_frames(rest, cursor.sequence)] == ["request.completed"]


@PLANES
async def test_trimmed_stands_once_ahead_of_its_batch(
    store: Store, metadata: tuple[tuple[str, str], ...]
) -> None:
    """Also where whole pages hold nothing that the plane may see."""

    async def body(ctx: Context) -> None:
        for number in range(1_200):
            shown = CLIENT if number % 400 == 0 else Audience.INTERNAL
            await ctx.emit(f"{number}", audience=shown, transient=number % 5 == 1)

    settings = EngineSettings(transient_retention=Seconds(0.0))
    async with hosted(play(body), store=store, settings=settings) as server:
        await server.run("r1")
        await server.engine.sweeper.sweep()
        frames = await _tail(server, metadata)
        middle = await _tail(server, metadata, after=Cursor(sequence=500))
    events = check_frames(frames)
    assert not any(event.transient for event in events)
    assert events[-1].type == "request.completed"
    shown = [number for number in range(1_200) if number % 5 != 1]
    if not metadata:
        shown = [number for number in shown if number % 400 == 0]
    assert _custom(frames) == [f"{number}" for number in shown]
    check_frames(middle, after=500)
    first = next(frame.trimmed for frame in middle if kind(frame) == "trimmed")
    assert 500 < first.first <= first.last
    told = {
        one
        for frame in frames
        if kind(frame) == "trimmed"
        for one in range(frame.trimmed.first, frame.trimmed.last + 1)
    }
    assert {event.sequence + 1 for event in events if event.custom.name == "800"} <= told
