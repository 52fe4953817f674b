"""Load: callers that call, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.floor import Floor

Caller = Callable[[], Awaitable[object]]
"""Makes one call after another, each time it is called and awaited."""


@dataclass(frozen=True)
class Load:
    """What one side of a comparison did in one round; ``units`` are what it counts, calls unless told otherwise."""

    calls: int
    seconds: float
    cpu_seconds: float
    units_a_call: int = 1

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.calls * self.units_a_call / self.seconds

    @property
    def cpu_micros(self) -> float:
        """CPU of the server process, all its threads, for one call."""
        return self.cpu_seconds / self.calls * 1e6


async def for_seconds(callers: Sequence[Caller], seconds: float, floor: Floor, units: int = 1) -> Load:
    """Each of ``callers`` has one call in flight until the time is over; the last calls count, with their time."""
    end = time.perf_counter() + seconds

    async def keep_calling(call: Caller) -> int:
        calls = 0
        while time.perf_counter() < end:
            await call()
            calls += 1
        return calls

    return await _measured([keep_calling(call) for call in callers], floor, units)


async def each_times(callers: Sequence[Caller], times: int, floor: Floor) -> Load:
    """Each of ``callers`` makes so many calls, one after another."""

    async def call_times(call: Caller) -> int:
        for _ in range(times):
            await call()
        return times

    return await _measured([call_times(call) for call in callers], floor, 1)


async def _measured(work: Sequence[Awaitable[int]], floor: Floor, units: int) -> Load:
    cpu = await floor.cpu()
    began = time.perf_counter()
    calls = sum(await asyncio.gather(*work))
    seconds = time.perf_counter() - began
    return Load(calls, seconds, await floor.cpu() - cpu, units)
