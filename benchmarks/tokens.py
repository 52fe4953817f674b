"""Runs that stream the tokens of a language model, 30 a second each, every one followed by a tail: how long a token
takes from its block to the tail, and what it costs the server beside bare streams of the same tokens."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.load import Load
from benchmarks.result import Bar, Options, Quantity, Result, at_most, cpu_beside
from benchmarks.subject import TRUSTED, Subject, on_sqlite
from flowstate.v1 import event_service_pb2, flow_service_pb2

RUNS = 100
MANY_RUNS = 500
PAUSE = 1 / 30
SECONDS = 3.0
"""How long each run streams in a round, at the default ``--seconds``."""

FRAME_BYTES = 150
"""What a token's event has beside the token."""

_gates = itertools.count(1)


@dataclass(frozen=True)
class Streamed:
    """One side of a round. ``slowed`` is how much longer than at its pace the slowest run took: 0.1 is ten percent."""

    load: Load
    p50: float
    p99: float
    slowed: float = 0.0


async def tokens(options: Options) -> Sequence[Result]:
    name = f"{RUNS} runs x 30 tokens/s"
    return await _streamed(options, RUNS, name, p50=at_most(45), p99=at_most(120), cpu=at_most(2.5))


async def tokens_of_many(options: Options) -> Sequence[Result]:
    name = f"{MANY_RUNS} runs x 30 tokens/s"
    return await _streamed(options, MANY_RUNS, name, p99=at_most(350), cpu=at_most(1), slowed=at_most(3))


async def _streamed(
    options: Options,
    runs: int,
    name: str,
    cpu: Bar,
    p99: Bar,
    p50: Bar | None = None,
    slowed: Bar | None = None,
) -> Sequence[Result]:
    bare, streamed = [], []
    count = max(3, round(options.seconds * SECONDS / PAUSE))
    async with on_sqlite() as server:
        for number in range(options.rounds + 1):
            sides = await _bare(server, runs, count), await _runs(server, runs, count)
            if number:
                bare.append(sides[0])
                streamed.append(sides[1])
    return (
        Quantity(f"{name}, block to tail, p50", median(one.p50 for one in streamed), "ms", p50),
        Quantity(f"{name}, block to tail, p99", median(one.p99 for one in streamed), "ms", p99),
        Quantity(f"{name}, bare, p99", median(one.p99 for one in bare), "ms"),
        Quantity(f"{name}, CPU of a token", median(one.load.cpu_micros for one in streamed), "us"),
        cpu_beside(f"{name}, a token", [one.load for one in bare], [one.load for one in streamed], cpu),
        Quantity(f"{name}, slowest run later", 100 * median(one.slowed for one in streamed), "%", slowed),
    )


async def _runs(server: Subject, runs: int, count: int) -> Streamed:
    gate, live, delays = f"tokens-{next(_gates)}", asyncio.Semaphore(0), list[float]()

    async def follow(request_id: str) -> None:
        request = event_service_pb2.TailEventsRequest(request_id=request_id)
        async for frame in server.events.TailEvents(request, metadata=TRUSTED):
            now = time.monotonic_ns()
            if frame.WhichOneof("frame") == "caught_up":
                live.release()
            for event in frame.batch.events:
                delays.extend((now - int(token)) / 1e6 for token in event.item_delta.text.split())

    speech = {"events": count, "pause": PAUSE, "gate": gate}
    requests = [
        await server.dispatch("tokens", speech, session) for session in await server.new_sessions(runs)
    ]
    tails = [asyncio.create_task(follow(request)) for request in requests]
    for _ in tails:
        await live.acquire()
    (opener,) = await server.new_sessions(1)
    cpu, began = await server.floor.cpu(), time.monotonic()
    await server.call("open-gate", {"gate": gate}, opener)
    await asyncio.gather(*tails)
    load = Load(runs * count, time.monotonic() - began, await server.floor.cpu() - cpu)
    if len(delays) != load.calls:
        raise RuntimeError(f"{load.calls} tokens were streamed and {len(delays)} delivered")
    ended = [await output(server, request) for request in requests]
    return _summed(load, delays, lateness(max(ended) - began, count, PAUSE))


def lateness(seconds: float, count: int, pause: float) -> float:
    """How much longer a run of ``count`` moments took: 0.1 is ten percent. A run begins up to one pause late."""
    return max(0.0, seconds / ((count + 1) * pause) - 1)


async def output(server: Subject, request_id: str) -> float:
    """What came out of a run that has ended."""
    request = flow_service_pb2.WaitActionRequestRequest(request_id=request_id)
    reply = await server.flows.WaitActionRequest(request, metadata=TRUSTED)
    value: float = json.loads(reply.action_request.output.json)
    return value


async def _bare(server: Subject, runs: int, count: int) -> Streamed:
    delays = list[float]()

    async def follow() -> None:
        async for frame in server.floor.tokens(count, FRAME_BYTES, PAUSE)():
            delays.append((time.monotonic_ns() - int(frame.rstrip(b"\0"))) / 1e6)

    cpu, began = await server.floor.cpu(), time.perf_counter()
    await asyncio.gather(*(follow() for _ in range(runs)))
    load = Load(runs * count, time.perf_counter() - began, await server.floor.cpu() - cpu)
    return _summed(load, delays)


def _summed(load: Load, delays: list[float], slowed: float = 0.0) -> Streamed:
    *_, p99 = quantiles(delays, n=100)
    return Streamed(load, median(delays), p99, slowed)
