"""Replay of a session's log over 1,000 requests, beside that of one request with as many events: how many times as long
an event takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.load import Load
from benchmarks.result import Comparison, Options, Result, at_most, interleaved
from benchmarks.subject import TRUSTED, Subject, on_postgres, on_sqlite
from flowstate.v1 import event_service_pb2

REQUESTS = 1_000
EVENTS = 20
"""Of each request."""
AT_ONCE = 8


async def session_tail(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        return (await _compared(server, options, "SQLite"),)


async def session_tail_postgres(options: Options) -> Sequence[Result]:
    async with on_postgres() as server:
        return (await _compared(server, options, "Postgres"),)


async def _compared(server: Subject, options: Options, store: str) -> Comparison:
    one, many = await server.new_sessions(2)
    request_id = (await server.call("burst", {"events": REQUESTS * EVENTS}, one)).request_id
    left = iter(range(REQUESTS))

    async def keep_calling() -> None:
        for _ in left:
            await server.call("burst", {"events": EVENTS}, many)

    await asyncio.gather(*(keep_calling() for _ in range(AT_ONCE)))
    of_request = event_service_pb2.TailEventsRequest(request_id=request_id)
    of_session = event_service_pb2.TailEventsRequest(session_id=many, replay_only=True)
    request_loads, session_loads = await interleaved(
        options.rounds,
        lambda: _replayed(server, of_request, options.seconds),
        lambda: _replayed(server, of_session, options.seconds),
    )
    name = f"an event of a session's tail, {REQUESTS:,} requests, {store}"
    return Comparison(name, request_loads, session_loads, at_most(1.3), slower=True)


async def _replayed(server: Subject, request: event_service_pb2.TailEventsRequest, seconds: float) -> Load:
    """Again and again until the time is over."""
    cpu, began, events = await server.floor.cpu(), time.perf_counter(), 0
    while not events or time.perf_counter() < began + seconds:
        async for frame in server.events.TailEvents(request, metadata=TRUSTED):
            events += len(frame.batch.events)
    took = time.perf_counter() - began
    return Load(events, took, await server.floor.cpu() - cpu)
