"""RAM of the server's process: after its start, after a set amount of work, after 100 live tails, after many calls."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.call_action import turns
from benchmarks.commit_state import IN_FLIGHT, commit, increment
from benchmarks.get_snapshot import snapshots
from benchmarks.live_tails import EVENTS, TAILS, open_tails
from benchmarks.load import each_times
from benchmarks.result import Options, Quantity, Result, at_most
from benchmarks.subject import on_sqlite

CALLS = 50
"""Of each kind by each of the callers."""

COMMITS = 200_000
WARMING = 20_000


async def memory(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        started = server.memory()
        sessions = await server.new_sessions(IN_FLIGHT)
        for callers in (
            [commit(server, increment(session)) for session in sessions],
            [turns(server, "turn", session) for session in sessions],
            await snapshots(server, IN_FLIGHT),
        ):
            await each_times(callers, CALLS, server.floor)
        worked = server.memory()
        tails = await open_tails(server, EVENTS)
        followed = server.memory()
        await tails.finish()
        left = server.memory()
    return (
        Quantity("memory of a fresh server", started, "MiB"),
        Quantity(f"memory after {3 * CALLS * IN_FLIGHT:,} calls", worked, "MiB"),
        Quantity(f"memory with {TAILS} tails open", followed, "MiB"),
        Quantity(f"memory after {TAILS} tails", left, "MiB"),
    )


async def memory_of_commits(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        callers = [commit(server, increment(session)) for session in await server.new_sessions(IN_FLIGHT)]
        await each_times(callers, WARMING // IN_FLIGHT, server.floor)
        before = server.memory()
        await each_times(callers, COMMITS // IN_FLIGHT, server.floor)
        grown = 100 * (server.memory() / before - 1)
    return (Quantity(f"memory grown by {COMMITS:,} commits", grown, "%", at_most(5)),)
