"""A turn in sessions of 2,000 turns beside one in sessions of 10: how many times as long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmarks.call_action import turns
from benchmarks.load import Caller, Load, each_times
from benchmarks.result import Bar, Comparison, Options, Result, at_most, interleaved
from benchmarks.subject import Subject, on_sqlite

SESSIONS = 8
SHORT = 10
LONG = 2_000
MEASURED = 20
"""Turns of each session in each round."""


async def growing_session(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        long = await _grown(server, LONG)
        plain = await _compared(server, options, "turn", long, at_most(1.2))
        reading = await _compared(server, options, "remember", long, None)
    return (plain, reading)


async def _compared(
    server: Subject, options: Options, action: str, long: Sequence[str], bar: Bar | None
) -> Comparison:
    async def of_short() -> Load:
        return await _turns(server, action, await _grown(server, SHORT))

    async def of_long() -> Load:
        return await _turns(server, action, long)

    short_loads, long_loads = await interleaved(options.rounds, of_short, of_long)
    name = {"turn": "a turn", "remember": "a turn that reads history"}[action]
    return Comparison(f"{name}, {LONG:,} / {SHORT}", short_loads, long_loads, bar, slower=True)


async def _grown(server: Subject, size: int) -> list[str]:
    """New sessions with ``size`` completed turns each."""
    sessions = await server.new_sessions(SESSIONS)
    callers = [turns(server, "turn", session) for session in sessions]
    await asyncio.gather(*(_repeat(caller, size) for caller in callers))
    return sessions


async def _repeat(caller: Caller, times: int) -> None:
    for _ in range(times):
        await caller()


async def _turns(server: Subject, action: str, sessions: Sequence[str]) -> Load:
    callers = [turns(server, action, session) for session in sessions]
    return await each_times(callers, MEASURED, server.floor)
