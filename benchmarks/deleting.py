"""Commits of other tenants while a session of 100,000 events is deleted and its rows go, beside the same without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.commit_state import increment
from benchmarks.flow import KIND
from benchmarks.result import Options, Quantity, Result, at_most
from benchmarks.subject import TRUSTED, Subject, on_postgres, on_sqlite
from flowstate.v1 import session_service_pb2 as pb

EVENTS = 100_000
A_REQUEST = 1_000
CALLERS = 8
PAUSE = 0.002
"""Seconds between two commits of a caller: the server has room, as one that is not overloaded has."""
WINDOW = 3.0
WINDOWS = 4
"""The rows go within some seconds, some seconds after the deletion: of several windows the worst one counts, on both
sides."""


async def deleting(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        return [await _measured(server, "")]


async def deleting_postgres(options: Options) -> Sequence[Result]:
    async with on_postgres() as server:
        return [await _measured(server, " on Postgres")]


async def _measured(server: Subject, where: str) -> Quantity:
    (big,) = await server.new_sessions(1)
    for _ in range(EVENTS // A_REQUEST):
        await server.call("burst", {"events": A_REQUEST}, big)
    callers = [
        (f"tenant-{number}", await _session_of(server, f"tenant-{number}")) for number in range(CALLERS)
    ]
    alone = await _worst(server, callers)
    await server.sessions.DeleteSession(pb.DeleteSessionRequest(session_id=big), metadata=TRUSTED)
    beside = await _worst(server, callers)
    name = f"p99 of commits{where} beside a deletion of {EVENTS:,} events, / alone"
    return Quantity(name, beside / alone, "times", at_most(3.0))


async def _session_of(server: Subject, tenant: str) -> str:
    request = pb.CreateSessionRequest(session=pb.Session(flow_kind=KIND, user_id="u1"))
    reply = await server.sessions.CreateSession(request, metadata=_caller(tenant))
    return reply.session.session_id


def _caller(tenant: str) -> tuple[tuple[str, str], ...]:
    return (("x-tenant-id", tenant), *(pair for pair in TRUSTED if pair[0] != "x-tenant-id"))


async def _worst(server: Subject, callers: Sequence[tuple[str, str]]) -> float:
    """The 99th percentile of the seconds that a commit takes, in the worst of some windows."""
    return max([await _window(server, callers) for _ in range(WINDOWS)])


async def _window(server: Subject, callers: Sequence[tuple[str, str]]) -> float:
    times: list[float] = []
    end = time.perf_counter() + WINDOW

    async def keep_committing(tenant: str, session: str) -> None:
        request, metadata = increment(session), _caller(tenant)
        while (began := time.perf_counter()) < end:
            await server.states.CommitState(request, metadata=metadata)
            times.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE)

    await asyncio.gather(*(keep_committing(*caller) for caller in callers))
    return sorted(times)[len(times) * 99 // 100]
