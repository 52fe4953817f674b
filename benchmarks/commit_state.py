"""``CommitState``: one increment a call, 32 callers, each on a session of its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

from benchmarks.load import Caller, for_seconds
from benchmarks.result import Bar, Comparison, Options, Result, at_least, interleaved
from benchmarks.subject import TRUSTED, Subject, on_postgres, on_sqlite
from flowstate.v1.state_service_pb2 import CommitStateRequest, IncrementOp, StateMutation, StateOp
from flowstate.v1.types_pb2 import ScopeRef

IN_FLIGHT = 32


async def commit_state(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        return await _measured(server, options, "CommitState", at_least(0.45))


async def commit_state_postgres(options: Options) -> Sequence[Result]:
    async with on_postgres() as server:
        return await _measured(server, options, "CommitState on Postgres", None)


async def _measured(server: Subject, options: Options, name: str, bar: Bar | None) -> Sequence[Result]:
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
    return (
        Comparison(f"{name}, one increment", floor, without, bar),
        Comparison(f"{name}, with idempotency key", floor, with_key),
    )


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
