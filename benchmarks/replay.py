"""Replay of a finished request's log, events a second, beside a bare stream of equal frames."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from benchmarks.load import Load
from benchmarks.result import Comparison, Options, Quantity, Result, at_most, interleaved
from benchmarks.subject import TRUSTED, Subject, on_sqlite
from flowstate.v1 import event_service_pb2

EVENTS = 20_000
BARE_LOGS = 20
"""So many logs long is the bare stream: one alone would be through in some milliseconds."""


async def replay(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        (session,) = await server.new_sessions(1)
        request_id = (await server.call("burst", {"events": EVENTS}, session)).request_id
        frames, size = await _measure_log(server, request_id)
        floor, measured = await interleaved(
            options.rounds,
            lambda: _bare(server, frames, size // frames),
            lambda: _replayed(server, request_id, options.seconds),
        )
    return (
        Comparison("replay, events/s", floor, measured),
        Quantity("replay, an event", median(1e6 / load.rate for load in measured), "us", at_most(4)),
        Quantity("replay, CPU of an event", median(load.cpu_micros for load in measured), "us", at_most(4)),
    )


async def _measure_log(server: Subject, request_id: str) -> tuple[int, int]:
    """How many frames the replay has, and their bytes together."""
    sizes = [frame.ByteSize() async for frame in _tail(server, request_id)]
    return len(sizes), sum(sizes)


def _tail(server: Subject, request_id: str):  # type: ignore[no-untyped-def]
    request = event_service_pb2.TailEventsRequest(request_id=request_id)
    return server.events.TailEvents(request, metadata=TRUSTED)


async def _replayed(server: Subject, request_id: str, seconds: float) -> Load:
    """Again and again until the time is over."""
    cpu, began, events = await server.floor.cpu(), time.perf_counter(), 0
    while not events or time.perf_counter() < began + seconds:
        async for frame in _tail(server, request_id):
            events += len(frame.batch.events)
    took = time.perf_counter() - began
    return Load(events, took, await server.floor.cpu() - cpu)


async def _bare(server: Subject, frames: int, size: int) -> Load:
    cpu, began = await server.floor.cpu(), time.perf_counter()
    async for _ in server.floor.frames(frames * BARE_LOGS, size)():
        pass
    seconds = time.perf_counter() - began
    return Load(EVENTS * BARE_LOGS, seconds, await server.floor.cpu() - cpu)
