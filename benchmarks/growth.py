"""What calls take in a store of 10,000, 100,000 and 1,000,000 sessions, with as many turns of five durable events each.

There is a server for each size, and they are called in turn, one call at a time. The bar is on the median time in the
largest store beside that in the smallest.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.call_action import IN_FLIGHT, SAY
from benchmarks.commit_state import increment
from benchmarks.grown_plan import LONG, LONG_OWNER, any_request, any_session, long_sequence
from benchmarks.load import for_seconds
from benchmarks.postgres_load import database_bytes, watched
from benchmarks.result import Figure, Options, Quantity, Result, at_most
from benchmarks.subject import CHECKOUT, Subject, action_call, subject
from flowstate.v1 import event_service_pb2, flow_service_pb2, session_service_pb2
from flowstate.v1.types_pb2 import Cursor
from tests.support.postgres_server import PostgresServer, connection

CALLS = 40
"""Of each kind to each server in each round."""
REPLAYED = 40
"""A tail begins so many sequences before what the long session was filled with."""
CARRIED = 20
"""So many times the seconds of a round."""
IDLE_SECONDS = 20.0
"""A sweeper goes to work every three seconds or so."""
MOST = 1.3
SHARED_BUFFERS = "512MB"
"""The smallest store is all in the memory of Postgres, the largest is not."""

Call = Callable[["Grown"], Awaitable[None]]


@dataclass(frozen=True)
class Grown:
    """A server on a store of so many sessions."""

    server: Subject
    sessions: int
    draw: random.Random


@dataclass(frozen=True)
class Timed:
    """Of the calls of a round: the median time, and the server's CPU for each, in seconds."""

    took: float
    cpu: float


async def growth(options: Options) -> Sequence[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [folder / f"{sessions}.db" for sessions in options.sizes]
        async with _filled(folder, [f"sqlite:///{file}" for file in files], options.sizes) as grown:
            sizes = [file.stat().st_size for file in files]
            return [*_stored("SQLite", grown, sizes), *await _measured("SQLite", grown, options)]


async def growth_postgres(options: Options) -> Sequence[Result]:
    with (
        tempfile.TemporaryDirectory() as name,
        PostgresServer.run(durable=True, shared_buffers=SHARED_BUFFERS, max_wal_size="4GB") as postgres,
    ):
        urls = [await postgres.create_database() for _ in options.sizes]
        async with _filled(Path(name), urls, options.sizes) as grown:
            sizes = [await database_bytes(url) for url in urls]
            results = [*_stored("Postgres", grown, sizes), *await _measured("Postgres", grown, options)]
            return [*results, await _carried(grown[-1], postgres, urls[-1], options)]


@asynccontextmanager
async def _filled(folder: Path, urls: Sequence[str], sizes: Sequence[int]) -> AsyncIterator[Sequence[Grown]]:
    """Servers on stores that are filled one after another."""
    template = await _template(folder)
    async with AsyncExitStack() as opened:
        for url, sessions in zip(urls, sizes, strict=True):
            await _fill(template, url, sessions)
        grown = []
        for url, sessions in zip(urls, sizes, strict=True):
            own = folder / str(sessions)
            own.mkdir()
            server = await opened.enter_async_context(subject(own, url))
            grown.append(Grown(server, sessions, random.Random(sessions)))
        yield grown


def _stored(store: str, grown: Sequence[Grown], sizes: Sequence[int]) -> Sequence[Figure]:
    sessions = ", ".join(f"{one.sessions:,}" for one in grown)
    turns = ", ".join(f"{size / one.sessions:,.0f}" for one, size in zip(grown, sizes, strict=True))
    return [Figure(f"{store}, sessions", sessions), Figure(f"{store}, bytes of a session with a turn", turns)]


async def _measured(store: str, grown: Sequence[Grown], options: Options) -> Sequence[Result]:
    idle = await asyncio.gather(*map(_idle_share, grown))
    rounds = [await _round(grown) for _ in range(options.rounds + 1)][1:]
    results: list[Result] = []
    for name in CALLED:
        times = [[one[name][place] for one in rounds] for place in range(len(grown))]
        ratio = median(last.took / first.took for first, last in zip(times[0], times[-1], strict=True))
        results += (
            Quantity(f"{store}, {name}, largest / smallest", ratio, "times", at_most(MOST)),
            Figure("  p50 ms", _told(times, lambda one: one.took * 1e3, 2)),
            Figure("  server CPU us", _told(times, lambda one: one.cpu * 1e6, 0)),
        )
    shares = ", ".join(f"{share:.1%}" for share in idle)
    return [*results, Figure(f"{store}, an idle server, of a core", shares)]


async def _carried(grown: Grown, postgres: PostgresServer, url: str, options: Options) -> Figure:
    """Turns as fast as one server makes them in the largest store, and what they cost."""
    callers = [partial(_turn, grown)] * IN_FLIGHT
    await for_seconds(callers, options.seconds, grown.server.floor)
    async with watched(postgres, url) as load:
        turns = await for_seconds(callers, CARRIED * options.seconds, grown.server.floor)
    told = (
        f"{turns.rate:,.0f} a second; CPU us each: server {turns.cpu_micros:,.0f},"
        f" Postgres {load.cpu_seconds / turns.calls * 1e6:,.0f}; WAL {load.wal_bytes / turns.calls:,.0f} bytes each;"
        f" {load.connections} connections"
    )
    return Figure(f"Postgres, turns, {IN_FLIGHT} in flight", told)


def _told(times: Sequence[Sequence[Timed]], value: Callable[[Timed], float], digits: int) -> str:
    """The medians, one for each size."""
    return ", ".join(f"{median(map(value, of_size)):,.{digits}f}" for of_size in times)


async def _template(folder: Path) -> str:
    """The URL of a store with one turn, run by a server."""
    url = f"sqlite:///{folder / 'template.db'}"
    async with subject(folder, url) as server:
        await server.call("turn", SAY, *await server.new_sessions(1))
    return url


async def _fill(template: str, target: str, sessions: int) -> None:
    arguments = ("-m", "benchmarks.grown_store", template, target, str(sessions))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=CHECKOUT)
    if await process.wait():
        raise RuntimeError(f"the store of {sessions:,} sessions was not filled")
    if target.startswith("postgres"):
        async with connection(target) as connected:
            await connected.execute("VACUUM (ANALYZE)")  # as autovacuum does sooner or later
            await connected.execute("CHECKPOINT")


async def _idle_share(grown: Grown) -> float:
    cpu, began = await grown.server.floor.cpu(), time.perf_counter()
    await asyncio.sleep(IDLE_SECONDS)
    return (await grown.server.floor.cpu() - cpu) / (time.perf_counter() - began)


async def _round(grown: Sequence[Grown]) -> Mapping[str, Sequence[Timed]]:
    """Of each call what it took at each of the sizes."""
    return {name: await _timed(call, grown) for name, call in CALLED.items()}


async def _timed(call: Call, grown: Sequence[Grown]) -> Sequence[Timed]:
    """Call after call, each of all servers in turn: what disturbs one of them disturbs all."""
    before = [await one.server.floor.cpu() for one in grown]
    times: list[list[float]] = [[] for _ in grown]
    for _ in range(CALLS):
        for one, taken in zip(grown, times, strict=True):
            began = time.perf_counter()
            await call(one)
            taken.append(time.perf_counter() - began)
    used = [await one.server.floor.cpu() - cpu for one, cpu in zip(grown, before, strict=True)]
    return [Timed(median(taken), cpu / CALLS) for taken, cpu in zip(times, used, strict=True)]


def _metadata(tenant: str, user: str) -> tuple[tuple[str, str], ...]:
    return (("x-tenant-id", tenant), ("x-flowstate-user", user), ("x-flowstate-plane", "trusted"))


LONG_METADATA = _metadata(*LONG_OWNER)


async def _commit_state(grown: Grown) -> None:
    tenant, user, session = any_session(grown.sessions, grown.draw)
    await grown.server.states.CommitState(increment(session), metadata=_metadata(tenant, user))


async def _turn(grown: Grown) -> None:
    await _turn_in(grown, *any_session(grown.sessions, grown.draw))


async def _turn_in_long(grown: Grown) -> None:
    await _turn_in(grown, *LONG_OWNER, LONG)


async def _turn_in(grown: Grown, tenant: str, user: str, session: str) -> None:
    request = action_call("turn", SAY, session)
    request.spec.user_id = user
    reply = await grown.server.flows.CallAction(request, metadata=_metadata(tenant, user))
    if not reply.action_request.output.json:
        raise RuntimeError(f"the turn did not complete: {reply}")


async def _list_sessions(grown: Grown) -> None:
    tenant, user, _ = any_session(grown.sessions, grown.draw)
    request = session_service_pb2.ListSessionsRequest(user_id=user)
    await grown.server.sessions.ListSessions(request, metadata=_metadata(tenant, user))


def _list_items(**which: Any) -> Call:
    request = session_service_pb2.ListItemsRequest(session_id=LONG, **which)

    async def call(grown: Grown) -> None:
        await grown.server.sessions.ListItems(request, metadata=LONG_METADATA)

    return call


async def _list_requests(grown: Grown) -> None:
    tenant, user, _ = any_session(grown.sessions, grown.draw)
    await _requests(grown, _metadata(tenant, user), user_id=user)


async def _list_requests_of_long(grown: Grown) -> None:
    await _requests(grown, LONG_METADATA, session_id=LONG)


async def _requests(grown: Grown, metadata: tuple[tuple[str, str], ...], **which: Any) -> None:
    request = flow_service_pb2.ListActionRequestsRequest(**which)
    await grown.server.flows.ListActionRequests(request, metadata=metadata)


async def _tail_of_request(grown: Grown) -> None:
    tenant, user, request = any_request(grown.sessions, grown.draw)
    await _first_events(grown, _metadata(tenant, user), request_id=request)


async def _tail_of_long(grown: Grown) -> None:
    await _first_events(grown, LONG_METADATA, session_id=LONG)


async def _tail_of_end_of_long(grown: Grown) -> None:
    """As who comes back to a conversation that is open on a screen."""
    filled = long_sequence(grown.sessions)
    await _first_events(grown, LONG_METADATA, session_id=LONG, after=Cursor(sequence=filled - REPLAYED))


async def _first_events(grown: Grown, metadata: tuple[tuple[str, str], ...], **which: Any) -> None:
    """Until the first events of the replay have come."""
    request = event_service_pb2.TailEventsRequest(**which)
    tail = grown.server.events.TailEvents(request, metadata=metadata)
    async for frame in tail:
        if frame.batch.events:
            break
    tail.cancel()


CALLED: Mapping[str, Call] = {
    "CommitState": _commit_state,
    "a turn": _turn,
    "a turn of the long session": _turn_in_long,
    "ListSessions of a user": _list_sessions,
    "ListItems of the long session": _list_items(),
    "ListItems, newest first": _list_items(newest_first=True),
    "ListItems, last 50 turns": _list_items(last_turns=50),
    "ListActionRequests of a user": _list_requests,
    "ListActionRequests of the long session": _list_requests_of_long,
    "a tail of a request, to its first events": _tail_of_request,
    "a tail of the long session": _tail_of_long,
    "a tail near its end": _tail_of_end_of_long,
}
"""All but those of the long session go to any one of all sessions, drawn anew for each call."""
