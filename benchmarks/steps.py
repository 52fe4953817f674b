"""``CallAction`` of a sequencer of ten trivial steps, beside one of a single one: how many times as long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchmarks.call_action import turns
from benchmarks.load import for_seconds
from benchmarks.result import Comparison, Options, Result, at_most, interleaved
from benchmarks.subject import on_sqlite

IN_FLIGHT = 32


async def ten_steps(options: Options) -> Sequence[Result]:
    async with on_sqlite() as server:
        sessions = await server.new_sessions(2 * IN_FLIGHT)
        one = [turns(server, "one-step", session) for session in sessions[:IN_FLIGHT]]
        ten = [turns(server, "ten-steps", session) for session in sessions[IN_FLIGHT:]]
        load = partial(for_seconds, seconds=options.seconds, floor=server.floor)
        floor, measured = await interleaved(options.rounds, lambda: load(one), lambda: load(ten))
    return (Comparison("ten steps / one step", floor, measured, at_most(2.5), slower=True),)
