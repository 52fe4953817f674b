"""100 runs at once, each followed by a live tail: events a second to all tails together beside 100 bare streams of one
frame an event, and how long an event takes from its block to its tail when each run makes two a second."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from statistics import median, quantiles

from benchmarks.load import Load
from benchmarks.result import Comparison, Options, Quantity, Result, interleaved
from benchmarks.subject import TRUSTED, Subject, on_sqlite
from flowstate.v1 import event_service_pb2

TAILS = 100
EVENTS = 100
"""Of each run in a round, one after another without a pause."""

PAUSE = 0.5
LEAST_EVENTS = 3
GATES = itertools.count(1)


async def live_tails(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        tails = await open_tails(server, events=1)
        size = await tails.event_size()
        floor, measured = await interleaved(
            options.rounds,
            lambda: _bare(server, size),
            lambda: _delivered(server),
        )
        events = max(LEAST_EVENTS, round(options.rounds * options.seconds / PAUSE))
        paced = await open_tails(server, events, PAUSE)
        await paced.finish()
    *_, p99 = quantiles(paced.delays, n=100)
    return (
        Comparison(f"{TAILS} live tails, events/s", floor, measured),
        Quantity(f"{TAILS} live tails, block to tail, p50", median(paced.delays), "ms"),
        Quantity(f"{TAILS} live tails, block to tail, p99", p99, "ms"),
    )


class Tails:
    """Runs that wait at a gate, and a tail of each that has caught up with it. Made by :func:`open_tails`."""

    def __init__(self, server: Subject, events: int, pause: float) -> None:
        self.delays: list[float] = []
        """Milliseconds from block to tail, of every event."""

        self._server = server
        self._gate = f"gate-{next(GATES)}"
        self._speech = {"events": events, "pause": pause, "gate": self._gate}
        self._expected = TAILS * events
        self._live = asyncio.Semaphore(0)
        self._following: list[asyncio.Task[int]] = []

    async def open(self) -> None:
        for session in await self._server.new_sessions(TAILS):
            request_id = await self._server.dispatch("speak", self._speech, session)
            self._following.append(asyncio.create_task(self._follow(request_id)))
        for _ in range(TAILS):
            await self._live.acquire()

    async def finish(self) -> Load:
        """Open the gate and wait until every tail has all of its run."""
        (session,) = await self._server.new_sessions(1)
        cpu, began = await self._server.floor.cpu(), time.perf_counter()
        await self._server.call("open-gate", {"gate": self._gate}, session)
        await asyncio.gather(*self._following)
        seconds = time.perf_counter() - began
        if len(self.delays) != self._expected:
            raise RuntimeError(f"{self._expected} events were written and {len(self.delays)} delivered")
        return Load(self._expected, seconds, await self._server.floor.cpu() - cpu)

    async def event_size(self) -> int:
        """Finish, and tell the bytes of the largest frame."""
        await self.finish()
        return max(task.result() for task in self._following)

    async def _follow(self, request_id: str) -> int:
        request = event_service_pb2.TailEventsRequest(request_id=request_id)
        largest = 0
        async for frame in self._server.events.TailEvents(request, metadata=TRUSTED):
            now = time.monotonic_ns()
            if frame.WhichOneof("frame") == "caught_up":
                self._live.release()
            for event in frame.batch.events:
                if event.type == "custom":
                    emitted = json.loads(event.custom.data.json)["emitted"]
                    self.delays.append((now - emitted) / 1e6)
                    largest = max(largest, event.ByteSize())
        return largest


async def open_tails(server: Subject, events: int, pause: float = 0.0) -> Tails:
    tails = Tails(server, events, pause)
    await tails.open()
    return tails


async def _delivered(server: Subject) -> Load:
    tails = await open_tails(server, EVENTS)
    return await tails.finish()


async def _bare(server: Subject, size: int) -> Load:
    async def follow() -> None:
        async for _ in server.floor.frames(EVENTS, size)():
            pass

    cpu, began = await server.floor.cpu(), time.perf_counter()
    await asyncio.gather(*(follow() for _ in range(TAILS)))
    seconds = time.perf_counter() - began
    return Load(TAILS * EVENTS, seconds, await server.floor.cpu() - cpu)
