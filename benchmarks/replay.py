"""Replay of a finished request's log, events a second, beside a bare stream of equal frames."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load import Load
from benchmarks.result import Comparison, Options, Result, interleaved
from benchmarks.subject import TRUSTED, Subject, subject
from flowstate.v1 import event_service_pb2

EVENTS = 20_000


async def replay(options: Options) -> Sequence[Result]:
    with tempfile.TemporaryDirectory() as folder:
        async with subject(Path(folder)) as server:
            (session,) = await server.new_sessions(1)
            request_id = (await server.call("burst", {"events": EVENTS}, session)).request_id
            frames, size = await _measure_log(server, request_id)
            floor, measured = await interleaved(
                options.rounds,
                lambda: _bare(server, frames, size // frames),
                lambda: _replayed(server, request_id),
            )
    return (Comparison("replay, events/s", floor, measured),)


async def _measure_log(server: Subject, request_id: str) -> tuple[int, int]:
    """How many frames the replay has, and their bytes together."""
    sizes = [frame.ByteSize() async for frame in _tail(server, request_id)]
    return len(sizes), sum(sizes)


def _tail(server: Subject, request_id: str):  # type: ignore[no-untyped-def]
    request = event_service_pb2.TailEventsRequest(request_id=request_id)
    return server.events.TailEvents(request, metadata=TRUSTED)


async def _replayed(server: Subject, request_id: str) -> Load:
    cpu, began, events = await server.floor.cpu(), time.perf_counter(), 0
    async for frame in _tail(server, request_id):
        events += len(frame.batch.events)
    seconds = time.perf_counter() - began
    return Load(events, seconds, await server.floor.cpu() - cpu)


async def _bare(server: Subject, frames: int, size: int) -> Load:
    cpu, began = await server.floor.cpu(), time.perf_counter()
    async for _ in server.floor.frames(frames, size)():
        pass
    seconds = time.perf_counter() - began
    return Load(EVENTS, seconds, await server.floor.cpu() - cpu)
