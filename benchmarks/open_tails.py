"""Three thousand tails that are opened at once: whether all are served or told when to come again, what each that
waits keeps in memory, and how long the first event of a run takes while a thousand wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import median

from google.rpc.status_pb2 import Status
from grpc import aio

from benchmarks.call_action import SAY
from benchmarks.crowd import TAILS_A_CONNECTION, connection
from benchmarks.result import Options, Quantity, Result, at_most
from benchmarks.subject import TRUSTED, Subject, action_call, on_postgres, on_sqlite
from flowstate.v1 import event_service_pb2, flow_service_pb2
from flowstate.v1.event_service_pb2_grpc import EventServiceStub

TAILS = 3_000
WAITING = 1_000
FIRST_EVENTS = 100
"""So many runs are begun, one after another."""

DETAILS = "grpc-status-details-bin"


async def open_tails(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        return await _opened(server, f"{TAILS} tails at once")


async def open_tails_postgres(options: Options) -> Sequence[Result]:
    async with on_postgres() as server:
        return await _opened(server, f"{TAILS} tails at once, Postgres")


async def _opened(server: Subject, name: str) -> Sequence[Result]:
    sessions = await server.new_sessions(TAILS)
    alone = await _first_event(server)
    before, began = server.memory(), time.perf_counter()
    async with AsyncExitStack() as opened:
        storm, channels = _Storm(), list[aio.Channel]()
        for number, session in enumerate(sessions):
            if number % TAILS_A_CONNECTION == 0:
                channels.append(await opened.enter_async_context(connection(server.address)))
            storm.open(EventServiceStub(channels[-1]), session)
        await storm.settled()
        seconds, kept = time.perf_counter() - began, server.memory() - before
        live = storm.live
        await storm.shrink_to(WAITING)
        beside = await _first_event(server)
        await storm.shrink_to(0)
    return (
        Quantity(f"{name}, neither served nor told when to retry", storm.lost, "", at_most(0)),
        Quantity(f"{name}, told when to retry", storm.told, ""),
        Quantity(f"{name}, until each is one of these", seconds, "s"),
        Quantity(f"{name}, memory of each that waits", 1024 * kept / max(1, live), "KiB", at_most(25)),
        Quantity(f"{name}, first event of a run beside, p50", beside, "ms"),
        Quantity(f"{name}, first event of a run / alone", beside / alone, "times", at_most(3)),
    )


class _Storm:
    """Tails that were opened: ``live`` ones, those ``told`` when to come again, and those that are ``lost``."""

    def __init__(self) -> None:
        self.live = self.told = self.lost = 0
        self._tails: list[asyncio.Task[None]] = []
        self._news = asyncio.Semaphore(0)

    def open(self, events: EventServiceStub, session_id: str) -> None:
        self._tails.append(asyncio.create_task(self._follow(events, session_id)))

    async def settled(self) -> None:
        """Once each of them is one of these."""
        for _ in self._tails:
            await self._news.acquire()

    async def shrink_to(self, count: int) -> None:
        """Let so many of those that live go on, and wait until the others have left."""
        living = [tail for tail in self._tails if not tail.done()]
        self._tails, leaving = living[:count], living[count:]
        for tail in leaving:
            tail.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

    async def _follow(self, events: EventServiceStub, session_id: str) -> None:
        request = event_service_pb2.TailEventsRequest(session_id=session_id)
        try:
            async for frame in events.TailEvents(request, metadata=TRUSTED):
                if frame.WhichOneof("frame") == "caught_up":
                    self.live += 1
                    self._news.release()
            self.lost += 1
        except aio.AioRpcError as error:
            if _names_a_time(error):
                self.told += 1
            else:
                self.lost += 1
            self._news.release()


def _names_a_time(error: aio.AioRpcError) -> bool:
    raw = dict(error.trailing_metadata() or ()).get(DETAILS, b"")
    status = Status.FromString(raw if isinstance(raw, bytes) else raw.encode())
    return any(detail.type_url.endswith("/google.rpc.RetryInfo") for detail in status.details)


async def _first_event(server: Subject) -> float:
    """Milliseconds from a call that begins a run to the first event that is streamed to it, at the median."""
    (session,) = await server.new_sessions(1)
    found = []
    for _ in range(FIRST_EVENTS):
        request = flow_service_pb2.StreamActionRequest(spec=action_call("turn", SAY, session).spec)
        began = time.perf_counter()
        first = 0.0
        async for reply in server.flows.StreamAction(request, metadata=TRUSTED):
            if reply.tail.batch.events and not first:
                first = time.perf_counter() - began
        found.append(1e3 * first)
    return median(found)
