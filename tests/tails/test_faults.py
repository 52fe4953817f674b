"""A tail delivers every event in order and once, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

from flowstate_client import Cursor, CustomEvent, Event, Trimmed
from flowstate_client.testing import FaultProxy, GrpcProxy
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import Audience, Context
from flowstate_server.model.clock import Seconds
from flowstate_server.stores.store import Store
from tests.support.hosted import FAST, hosted, play

TOTAL = 3_000
STRIDE = 60


@dataclass
class Pace:
    """Lets the run emit a stride at a time, so that it never gets far ahead of a reader with a broken line."""

    total: int = TOTAL
    allowed: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    async def emit(self, ctx: Context[Any, Any, Any, Any]) -> int:
        """Emits ``total`` events for clients; every other one is transient."""
        for number in range(self.total):
            if number % STRIDE == 0:
                await self.allowed.acquire()
            await ctx.emit("n", number, audience=Audience.CLIENT, transient=bool(number % 2))
        return self.total


def check_numbers(events: list[Event], expected: range = range(TOTAL)) -> None:
    numbers = [(event.data, event.transient) for event in events if isinstance(event, CustomEvent)]
    assert numbers == [(number, bool(number % 2)) for number in expected]
    sequences = [event.sequence for event in events if not isinstance(event, Trimmed)]
    assert sequences == sorted(set(sequences))


def _faults(faults: FaultProxy, proxy: GrpcProxy) -> Iterator[Callable[[], None]]:
    return cycle(
        (
            faults.cut,
            lambda: proxy.end_streams_after(2, times=2),
            lambda: faults.delay(0.002),
            faults.half_close,
            faults.heal,
            lambda: faults.cut_after(5_000),
        )
    )


async def test_3000_events_through_every_fault(store: Store) -> None:
    pace = Pace()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(hosted(play(pace.emit), store=store))
        proxy = await stack.enter_async_context(GrpcProxy(server.address))
        faults = await stack.enter_async_context(FaultProxy(proxy.target))
        client = await stack.enter_async_context(server.client(faults.target))
        await server.dispatch("r1")
        harm = _faults(faults, proxy)
        seen: list[Event] = []
        async with asyncio.timeout(50), client.flows.handle("r1").events() as events:
            async for event in events:
                seen.append(event)
                if isinstance(event, CustomEvent) and event.data % STRIDE == STRIDE // 2:
                    pace.allowed.release()
                    next(harm)()
        assert events.cursor == seen[-1].cursor
        tails = proxy.calls.count("/flowstate.v1.EventService/TailEvents")
    check_numbers(seen)
    assert seen[-1].type == "request.completed"
    assert not any(isinstance(event, Trimmed) for event in seen)
    assert tails > 25, "the faults did not break the tail often enough to prove anything"


async def test_a_stream_started_through_the_proxy_resumes_as_a_tail(store: Store) -> None:
    pace = Pace(600)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(hosted(play(pace.emit), store=store))
        proxy = await stack.enter_async_context(GrpcProxy(server.address))
        faults = await stack.enter_async_context(FaultProxy(proxy.target))
        client = await stack.enter_async_context(server.client(faults.target))
        harm = _faults(faults, proxy)
        seen: list[Event] = []
        async with asyncio.timeout(30):
            stream = client.flows.stream("play", "play", request_id="r1")
            async for event in stream:
                seen.append(event)
                if isinstance(event, CustomEvent) and event.data % STRIDE == STRIDE // 2:
                    pace.allowed.release()
                    next(harm)()
        assert await stream.run.result(int) == 600
        calls = proxy.calls
    check_numbers(seen, range(600))
    assert calls.count("/flowstate.v1.EventService/TailEvents") > 3
    assert calls.count("/flowstate.v1.FlowService/StreamAction") >= 1


async def test_what_was_swept_while_the_client_was_away_is_told(store: Store) -> None:
    pace = Pace()
    settings = EngineSettings(transient_retention=Seconds(0.0))
    async with hosted(play(pace.emit), store=store, settings=settings) as server, server.client() as client:
        run = await client.flows.dispatch("play", "play", request_id="r1")
        seen: list[Event] = []
        async with run.events() as events:
            async for event in events:
                seen.append(event)
                if isinstance(event, CustomEvent) and event.data == 50:
                    break
            cursor = events.cursor
        for _ in range(TOTAL // STRIDE):
            pace.allowed.release()
        assert await run.result(int, timeout=30) == TOTAL
        await server.engine.sweeper.sweep()
        async with asyncio.timeout(30):
            rest = [event async for event in run.events(after=cursor)]
    _check_trimmed(seen, rest, cursor)


def _check_trimmed(seen: list[Event], rest: list[Event], cursor: Cursor) -> None:
    check_numbers(seen, range(51))
    numbers = [event.data for event in rest if isinstance(event, CustomEvent)]
    assert numbers == [number for number in range(51, TOTAL) if number % 2 == 0]
    delivered = {event.sequence for event in rest if not isinstance(event, Trimmed)}
    assert rest[-1].type == "request.completed"
    missing = set(range(cursor.sequence + 1, rest[-1].sequence + 1)) - delivered
    trimmed = [event for event in rest if isinstance(event, Trimmed)]
    told = {sequence for gap in trimmed for sequence in range(gap.first, gap.last + 1)}
    assert len(missing) >= TOTAL // 2 - 25
    assert missing <= told
    assert min(told) == min(missing)
    assert max(told) == max(missing)
    for gap in trimmed:  # each is told ahead of the events around it, by both of its ends
        assert {gap.first, gap.last} <= missing
        assert all(event.sequence < gap.first for event in rest[: rest.index(gap)])
    assert isinstance(rest[0], Trimmed)
    assert all(gap.snapshot is not None and gap.snapshot.cursor.sequence > 0 for gap in trimmed)


async def test_a_line_that_fell_silent_is_left_for_another(store: Store) -> None:
    """A frozen connection ends in no error: the watchdog ends the call, keepalive the connection."""
    pace = Pace(3 * STRIDE)
    settings = EngineSettings(min_heartbeat=Seconds(0.05))
    config = replace(
        FAST, heartbeat_interval=0.1, keepalive_time=1.0, keepalive_timeout=0.5, connect_timeout=0.5
    )
    async with (
        hosted(play(pace.emit), store=store, settings=settings) as server,
        FaultProxy(server.address) as faults,
        server.client(faults.target, config) as client,
    ):
        await server.dispatch("r1")
        seen: list[Event] = []
        async with asyncio.timeout(20):
            async for event in client.flows.handle("r1").events():
                seen.append(event)
                if isinstance(event, CustomEvent) and event.data % STRIDE == STRIDE // 2:
                    if event.data < STRIDE:
                        faults.stall(also_new=False)
                    pace.allowed.release()
        assert faults.accepted == 2
    check_numbers(seen, range(3 * STRIDE))
