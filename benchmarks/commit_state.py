"""``CommitState``: one increment a call, 32 callers, each on a session of its own."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from benchmarks.load import Caller, for_seconds
from benchmarks.result import (
    Bar,
    Comparison,
    Options,
    Quantity,
    Result,
    at_least,
    at_most,
    cpu_beside,
    interleaved,
)
from benchmarks.subject import TRUSTED, Subject, on_postgres, on_sqlite
from flowstate.v1.state_service_pb2 import CommitStateRequest, IncrementOp, StateMutation, StateOp
from flowstate.v1.types_pb2 import ScopeRef

IN_FLIGHT = 32


@dataclass(frozen=True)
class Bars:
    rate: Bar
    keyed: Bar | None
    cpu: Bar | None
    longer: Bar


async def commit_state(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        bars = Bars(at_least(0.48), at_least(0.42), at_most(2.2), at_most(0.9))
        return await _measured(server, options, "CommitState", bars)


async def commit_state_postgres(options: Options) -> Sequence[Result]:
    async with on_postgres() as server:
        bars = Bars(at_least(0.42), None, None, at_most(1.8))
        return await _measured(server, options, "CommitState on Postgres", bars)


async def _measured(server: Subject, options: Options, name: str, bars: Bars) -> Sequence[Result]:
    sessions = await server.new_sessions(IN_FLIGHT)
    request = increment(sessions[0])
    reply = await server.states.CommitState(request, metadata=TRUSTED)
    bare = server.floor.unary(request.ByteSize(), reply.ByteSize())
    plain = [commit(server, increment(session)) for session in sessions]
    keyed = [_commit_with_key(server, session) for session in sessions]
    load = partial(for_seconds, seconds=options.seconds, floor=server.floor)
    floor, without, with_key = await interleaved(
        options.rounds,
        lambda: load([bare] * IN_FLIGHT),
        lambda: load(plain),
        lambda: load(keyed),
    )
    longer = await _longer_alone(options, bare, plain[0])
    return (
        Comparison(f"{name}, one increment", floor, without, bars.rate),
        cpu_beside(name, floor, without, bars.cpu),
        Comparison(f"{name}, with idempotency key", floor, with_key, bars.keyed),
        Quantity(f"{name}, one in flight, p50 over bare", longer, "ms", bars.longer),
    )


async def _longer_alone(options: Options, bare: Caller, call: Caller) -> float:
    """By how many milliseconds a call that is alone takes longer than a bare one, which takes turns with it."""
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + options.rounds * options.seconds / 2
    while time.perf_counter() < end:
        for made, found in zip((bare, call), times, strict=True):
            began = time.perf_counter()
            await made()
            found.append(time.perf_counter() - began)
    return 1e3 * (median(times[1]) - median(times[0]))


def increment(session: str, *paths: str) -> CommitStateRequest:
    """An increment of each of the paths, default: of one field."""
    ops = [StateOp(path=path, increment=IncrementOp(by_int=1)) for path in paths or ("/count",)]
    return CommitStateRequest(mutations=[StateMutation(scope=ScopeRef(session_id=session), ops=ops)])


def commit(server: Subject, request: CommitStateRequest) -> Caller:
    return lambda: server.states.CommitState(request, metadata=TRUSTED)


def _commit_with_key(server: Subject, session: str) -> Caller:
    request = increment(session)
    numbers = itertools.count()

    async def call() -> None:
        request.idempotency_key = f"{session}-{next(numbers)}"
        await server.states.CommitState(request, metadata=TRUSTED)

    return call
