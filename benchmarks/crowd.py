"""One run that is followed by a thousand tails, while others call the server."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from statistics import median, quantiles

from grpc import aio

from benchmarks.caller import Caller, started
from benchmarks.result import Options, Quantity, Result, at_most
from benchmarks.subject import TRUSTED, Subject, on_postgres, on_sqlite
from benchmarks.tokens import lateness, output
from flowstate.v1 import event_service_pb2
from flowstate.v1.event_service_pb2_grpc import EventServiceStub

TAILS = 1_000
TAILS_A_CONNECTION = 100
PAUSE = 1 / 200
SECONDS = 5.0
"""How long the run writes, at the default ``--seconds``."""

_gates = itertools.count(1)


@dataclass(frozen=True)
class Followed:
    """A run with its tails. ``lost`` are the events that did not come to a tail, in order; ``busy`` is how much of a
    core the server took."""

    delays: Sequence[float]
    calls: Sequence[float]
    lost: int
    slowed: float
    busy: float


async def crowd(options: Options) -> Sequence[Result]:
    return await _crowd(on_sqlite(), "", options)


async def crowd_postgres(options: Options) -> Sequence[Result]:
    return await _crowd(on_postgres(), ", Postgres", options)


async def _crowd(
    starting: AbstractAsyncContextManager[Subject], where: str, options: Options
) -> Sequence[Result]:
    events = max(20, round(options.seconds * SECONDS / PAUSE))
    async with started() as caller, starting as server:
        alone = await _followed(server, caller, 1, events)
        crowds = [await _followed(server, caller, TAILS, events) for _ in range(options.rounds)]
    name = f"{TAILS} tails of one run{where}"
    slowed = median(one.slowed for one in crowds) - alone.slowed
    return (
        Quantity(f"{name}, events lost", sum(one.lost for one in crowds), "", at_most(0)),
        Quantity(
            f"{name}, block to tail, p99", median(_p99(one.delays) for one in crowds), "ms", at_most(250)
        ),
        Quantity(f"{name}, calls beside, p99", median(_p99(one.calls) for one in crowds), "ms", at_most(150)),
        Quantity(f"{name}, run slowed", 100 * slowed, "%", at_most(10)),
        Quantity(f"{name}, server CPU", 100 * median(one.busy for one in crowds), "%"),
    )


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[-1]


async def _followed(server: Subject, caller: Caller, tails: int, events: int) -> Followed:
    delays, live = list[float](), asyncio.Semaphore(0)
    session, of_calls, opener = await server.new_sessions(3)
    gate = f"crowd-{next(_gates)}"
    request_id = await server.dispatch("steady", {"events": events, "pause": PAUSE, "gate": gate}, session)
    async with AsyncExitStack() as opened:
        following, channels = [], list[aio.Channel]()
        for number in range(tails):
            if number % TAILS_A_CONNECTION == 0:
                channels.append(await opened.enter_async_context(connection(server.address)))
            stub = EventServiceStub(channels[-1])
            following.append(asyncio.create_task(_follow(stub, request_id, live, delays)))
        for _ in following:
            await live.acquire()
        async with caller.calling(server.address, of_calls) as calls:
            cpu, began = await server.floor.cpu(), time.monotonic()
            await server.call("open-gate", {"gate": gate}, opener)
            seen = await asyncio.gather(*following)
            busy = (await server.floor.cpu() - cpu) / (time.monotonic() - began)
    ended = await output(server, request_id)
    return Followed(
        delays, calls, sum(events - found for found in seen), lateness(ended - began, events, PAUSE), busy
    )


def connection(address: str) -> aio.Channel:
    """One of its own: channels of equal arguments share theirs."""
    return aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))


async def _follow(
    events: EventServiceStub, request_id: str, live: asyncio.Semaphore, delays: list[float]
) -> int:
    """How many of the block's events came, each frame directly behind the last. Of each frame the delay of its first
    event counts, the longest."""
    request = event_service_pb2.TailEventsRequest(request_id=request_id)
    found, at = 0, 0
    async for frame in events.TailEvents(request, metadata=TRUSTED):
        now = time.monotonic_ns()
        if frame.WhichOneof("frame") == "caught_up":
            live.release()
        elif frame.WhichOneof("frame") == "batch":
            told = [event for event in frame.batch.events if event.type == "custom"]
            if frame.batch.after_sequence == at:
                found += len(told)
            if told:
                delays.append((now - json.loads(told[0].custom.data.json)["emitted"]) / 1e6)
        at = frame.cursor.sequence
    return found
