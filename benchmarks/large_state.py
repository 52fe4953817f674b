"""Commits that put one record into a map of 100,000, beside those of a map of 10; and a small commit of another tenant,
alone and beside 32 writers of the large map."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from statistics import median

from benchmarks.commit_state import commit, increment
from benchmarks.flow import KIND
from benchmarks.load import Caller, Load, for_seconds
from benchmarks.result import Comparison, Options, Result, at_most, interleaved
from benchmarks.subject import TRUSTED, Subject, on_postgres, on_sqlite
from benchmarks.values import json_field
from flowstate.v1 import session_service_pb2
from flowstate.v1.state_service_pb2 import CommitStateRequest, PutRecordOp, StateMutation, StateOp
from flowstate.v1.types_pb2 import ScopeRef

SMALL = 10
LARGE = 100_000
"""Of one digit each: just under 1 MiB, the default limit of a state."""
MAP = "/counts"
WRITERS = 32
NEIGHBOR = (("x-tenant-id", "neighbor"), *TRUSTED[1:])


async def large_state(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        return [await _records(server, options, "SQLite")]


async def large_state_postgres(options: Options) -> Sequence[Result]:
    async with on_postgres() as server:
        return [await _records(server, options, "Postgres")]


async def neighbors(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        return [await _neighbors(server, options, "SQLite")]


async def neighbors_postgres(options: Options) -> Sequence[Result]:
    async with on_postgres() as server:
        return [await _neighbors(server, options, "Postgres")]


async def _records(server: Subject, options: Options, store: str) -> Comparison:
    small, large = [[await _put_in(server, records)] for records in (SMALL, LARGE)]
    load = partial(for_seconds, seconds=options.seconds, floor=server.floor)
    floor, measured = await interleaved(options.rounds, lambda: load(small), lambda: load(large))
    name = f"a record into {LARGE:,} / {SMALL}, {store}"
    return Comparison(name, floor, measured, at_most(3), slower=True)


async def _neighbors(server: Subject, options: Options, store: str) -> Comparison:
    put = await _put_in(server, LARGE)
    session = session_service_pb2.Session(flow_kind=KIND, user_id="u1")
    request = session_service_pb2.CreateSessionRequest(session=session)
    reply = await server.sessions.CreateSession(request, metadata=NEIGHBOR)
    small = increment(reply.session.session_id)

    async def call() -> None:
        await server.states.CommitState(small, metadata=NEIGHBOR)

    async def beside() -> Load:
        async with _going_on([put] * WRITERS):
            return await _median_of(call, options.seconds, server)

    alone, measured = await interleaved(
        options.rounds, lambda: _median_of(call, options.seconds, server), beside
    )
    return Comparison(
        f"p50 beside {WRITERS} writers / alone, {store}", alone, measured, at_most(5), slower=True
    )


async def _put_in(server: Subject, records: int) -> Caller:
    """A caller that puts records into a map of so many, in a session of its own."""
    (session,) = await server.new_sessions(1)
    whole = StateOp(path=MAP)
    whole.set.json = json_field({str(number): 0 for number in range(records)})
    await commit(server, _request(session, whole))()
    values = [0] * records

    async def call() -> None:
        number = random.randrange(records)
        values[number] = (values[number] + 1) % 10
        put = StateOp(path=MAP, put_record=PutRecordOp(key=str(number)))
        put.put_record.value.json = json_field(values[number])
        await server.states.CommitState(_request(session, put), metadata=TRUSTED)

    return call


def _request(session: str, op: StateOp) -> CommitStateRequest:
    return CommitStateRequest(mutations=[StateMutation(scope=ScopeRef(session_id=session), ops=[op])])


@asynccontextmanager
async def _going_on(callers: Sequence[Caller]) -> AsyncIterator[None]:
    async def keep_calling(call: Caller) -> None:
        while not over:
            await call()

    over: list[bool] = []
    async with asyncio.TaskGroup() as tasks:
        for call in callers:
            tasks.create_task(keep_calling(call))
        yield
        over.append(True)


async def _median_of(call: Caller, seconds: float, server: Subject) -> Load:
    """As many calls as there is time for, one after another, each as long as the middle one took."""
    times: list[float] = []
    cpu, end = await server.floor.cpu(), time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    return Load(len(times), median(times) * len(times), await server.floor.cpu() - cpu)
