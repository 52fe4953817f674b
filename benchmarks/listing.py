"""Pages of 50 out of 100,000 sessions, by all that they are found by, beside such a page out of 100; and a resolve that
finds, beside a read of the session. Each is called alone, all in turn: how many times as long the median takes."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.flow import KIND, SHOWN_KIND
from benchmarks.result import Figure, Options, Quantity, Result, at_most
from benchmarks.subject import Subject, subject
from benchmarks.values import json_field
from flowstate.v1 import session_service_pb2 as pb
from flowstate.v1.types_pb2 import Value
from tests.support.postgres_server import PostgresServer

SESSIONS = 100_000
FEW = 100
USERS = 100
RARE = 5_000
"""One of so many sessions has the rare tag."""
PAGE = 200
IN_FLIGHT = 64
CALLS = 60
"""Of each kind in each round."""

GATEWAY = (("x-tenant-id", "acme"), ("x-flowstate-plane", "trusted"))
"""Acts for any user."""

Call = Callable[[], Awaitable[Any]]


async def listing(options: Options) -> Sequence[Result]:
    results: list[Result] = []
    async with _on_sqlite() as (few, many):
        results += await _measured("SQLite", few, many, options)
    async with _on_postgres() as (few, many):
        results += await _measured("Postgres", few, many, options)
    return results


@asynccontextmanager
async def _on_sqlite() -> AsyncIterator[tuple[Subject, Subject]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            subject(folder, f"sqlite:///{folder / 'few.db'}") as few,
            subject(folder, f"sqlite:///{folder / 'many.db'}") as many,
        ):
            yield few, many


@asynccontextmanager
async def _on_postgres() -> AsyncIterator[tuple[Subject, Subject]]:
    with tempfile.TemporaryDirectory() as name, PostgresServer.run(durable=True) as postgres:
        async with (
            subject(Path(name), await postgres.create_database()) as few,
            subject(Path(name), await postgres.create_database()) as many,
        ):
            yield few, many


async def _measured(store: str, few: Subject, many: Subject, options: Options) -> list[Result]:
    began = time.perf_counter()
    await _fill(few, FEW, users=2)
    await _fill(many, SESSIONS, users=USERS)
    filled = time.perf_counter() - began
    wanted = pb.Session(flow_kind=KIND, user_id="u1", metadata=_value({"resolve": "me"}))
    resolve = pb.ResolveSessionRequest(session=wanted)
    resolved = (await many.sessions.ResolveSession(resolve, metadata=GATEWAY)).session.session_id
    pages = {name: _page(many, query) for name, query in (await _queries(many)).items()}
    calls: dict[str, Call] = {
        f"by user, out of {FEW}": _page(few, pb.ListSessionsRequest(user_id="u1")),
        **pages,
        # Looks through a thousand sessions, finds none, and says where to go on.
        "by two tags that never meet": _page(many, pb.ListSessionsRequest(tags=["odd", "even"])),
        "GetSession": lambda: many.sessions.GetSession(
            pb.GetSessionRequest(session_id=resolved), metadata=GATEWAY
        ),
        "ResolveSession": lambda: many.sessions.ResolveSession(resolve, metadata=GATEWAY),
    }
    took = await _medians(calls, options)
    base = took[f"by user, out of {FEW}"]
    ratios = [
        Quantity(f"{store}, {SESSIONS:,} {name}", took[name] / base, "times", at_most(4)) for name in pages
    ]
    found = Quantity(
        f"{store}, a resolve / a GetSession", took["ResolveSession"] / took["GetSession"], "times", at_most(3)
    )
    told = ", ".join(f"{name} {seconds * 1000:.2f}" for name, seconds in took.items())
    return [*ratios, found, Figure(f"{store}, filled in {filled:.0f} s, ms", told)]


async def _fill(server: Subject, count: int, users: int) -> None:
    numbers = iter(range(count))

    async def make() -> None:
        for number in numbers:
            tags = ["common", "odd" if number % 2 else "even", *(["rare"] if number % RARE == 0 else [])]
            session = pb.Session(
                flow_kind=KIND if number % 10 else SHOWN_KIND,
                user_id=f"u{number % users}",
                title="A conversation about something",
                tags=tags,
                metadata=_value({"plan": "pro", "bucket": number % 500}),
            )
            await server.sessions.CreateSession(pb.CreateSessionRequest(session=session), metadata=GATEWAY)

    await asyncio.gather(*(make() for _ in range(IN_FLIGHT)))


async def _queries(many: Subject) -> Mapping[str, pb.ListSessionsRequest]:
    late = pb.ListSessionsRequest(flow_kind=KIND)
    for _ in range(min(PAGE - 1, SESSIONS // 100)):
        late.page_token = (await many.sessions.ListSessions(late, metadata=GATEWAY)).next_page_token
    return {
        "by flow and user": pb.ListSessionsRequest(flow_kind=KIND, user_id="u1"),
        "by tag": pb.ListSessionsRequest(tags=["common"]),
        "by metadata": pb.ListSessionsRequest(metadata={"bucket": _value(7)}),
        "by common key, rare tag": pb.ListSessionsRequest(metadata={"plan": _value("pro")}, tags=["rare"]),
        "by what none has": pb.ListSessionsRequest(metadata={"plan": _value("pro")}, tags=["nobody"]),
        "by what never meets": pb.ListSessionsRequest(
            metadata={"bucket": _value(7)}, user_id="u8", tags=["common"]
        ),
        f"by flow, page {PAGE}": late,
    }


def _page(server: Subject, query: pb.ListSessionsRequest) -> Call:
    return lambda: server.sessions.ListSessions(query, metadata=GATEWAY)


async def _medians(calls: Mapping[str, Call], options: Options) -> dict[str, float]:
    """Seconds, after calls that warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(CALLS * options.rounds + CALLS // 3):
        for name, call in calls.items():
            began = time.perf_counter()
            await call()
            if number >= CALLS // 3:
                times[name].append(time.perf_counter() - began)
    return {name: median(taken) for name, taken in times.items()}


def _value(value: object) -> Value:
    return Value(json=json_field(value))
