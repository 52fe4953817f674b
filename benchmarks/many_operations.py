"""Commits of 50 operations beside commits of one: operations a second."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import median

from benchmarks.commit_state import IN_FLIGHT, commit, increment
from benchmarks.load import for_seconds
from benchmarks.result import Comparison, Options, Quantity, Result, at_least, at_most, interleaved
from benchmarks.subject import TRUSTED, on_sqlite

OPERATIONS = 50


async def many_operations(options: Options) -> Sequence[Result]:
    paths = [f"/counts/key-{number}" for number in range(OPERATIONS)]
    async with on_sqlite() as server:
        sessions = await server.new_sessions(IN_FLIGHT)
        for session in sessions:
            await server.states.CommitState(increment(session, *paths), metadata=TRUSTED)
        one = [commit(server, increment(session, paths[0])) for session in sessions]
        many = [commit(server, increment(session, *paths)) for session in sessions]
        load = partial(for_seconds, seconds=options.seconds, floor=server.floor)
        floor, measured = await interleaved(
            options.rounds,
            lambda: load(one),
            lambda: load(many, units=OPERATIONS),
        )
    micros = median(1e6 / load.rate for load in measured)
    return (
        Comparison("50 operations / one, ops/s", floor, measured, at_least(8)),
        Quantity("50 operations a commit, each", micros, "us", at_most(1e6 / 60_000)),
    )
