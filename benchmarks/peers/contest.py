"""Measures contestants in rounds that take them in turn."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks.peers.comparison import Cell, Comparison, Increments, Options, Place, Round
from benchmarks.peers.contestants import Contestant
from benchmarks.peers.running import Running, TookTooLong, running


@dataclass(frozen=True)
class Entrant:
    """A contestant with its own database and the Python that has its packages."""

    contestant: Contestant
    url: str
    python: str


class Contest:
    """All contestants, running. Who takes too long at something is out from there on."""

    def __init__(self, options: Options, contestants: Mapping[str, Running]) -> None:
        self.comparison = Comparison()
        self._options = options
        self._running = dict(contestants)
        self._numbers = count(1)

    async def measure_turns(self, length: int) -> None:
        alone, part_alone, *many = self._new_sessions(self._options.in_flight + 2)
        if length >= self._options.renewed_below:
            for name, one in list(self._running.items()):
                with self._patience(name):
                    tell(f"{length:,} turns: {name} grows")
                    await one.ask("grow", sessions=[alone, part_alone, *many], turns=length)
        for part in (False, True):
            for sessions in ([part_alone if part else alone], many):
                for number in range(self._options.rounds + 1):
                    await self._round(length, part, sessions, counts=number > 0)

    async def _round(self, length: int, part: bool, sessions: Sequence[str], *, counts: bool) -> None:
        renewed = length < self._options.renewed_below
        if renewed:
            sessions = self._new_sessions(len(sessions))
        for name, one in list(self._running.items()):
            if part and not one.contestant.reads_part:
                continue
            place = Place(name, length, len(sessions), part)
            cell = self.comparison.cells.setdefault(place, Cell())
            with self._patience(name):
                if renewed:
                    await one.ask("grow", sessions=sessions, turns=length)
                before = await one.stored()
                measured = await self._turns(one, sessions, part)
                cell.stored += (await one.stored()).grown_since(before)
                cell.turns += len(measured.took)
                if counts:
                    cell.rounds.append(measured)
                    _tell_round(place, measured)

    async def _turns(self, one: Running, sessions: Sequence[str], part: bool) -> Round:
        each = self._options.turns_alone if len(sessions) == 1 else self._options.turns_each
        answer = await one.ask(
            "turns", sessions=sessions, each=each, part=part, seconds=self._options.seconds
        )
        return Round(**answer)

    async def measure_increments(self, name: str, others: Sequence[Running]) -> None:
        """By all writers in one process, then by as many in that one and the ``others``."""
        one = self._running[name]
        with self._patience(name):
            self.comparison.one_process[name] = await self._increments([one])
            self.comparison.processes[name] = await self._increments([one, *others])

    async def _increments(self, workers: Sequence[Running]) -> Increments:
        one = workers[0]
        (session,) = self._new_sessions(1)
        await one.ask("grow", sessions=[session], turns=0)
        writers = self._options.writers // len(workers)
        answers = await asyncio.gather(
            *(worker.ask("increments", session=session, writers=writers) for worker in workers)
        )
        arrived = await one.ask("count", session=session)
        tell(
            f"{one.contestant.label}: {arrived} of {writers * len(workers)} increments, {len(workers)} processes"
        )
        failures: Counter[str] = Counter()
        for answer in answers:
            failures.update(answer["failures"])
        return Increments(arrived, sum(answer["refused"] for answer in answers), failures)

    @property
    def counting(self) -> Sequence[str]:
        """Those that keep a counter."""
        return [name for name, one in self._running.items() if one.contestant.counts]

    @contextmanager
    def _patience(self, name: str) -> Iterator[None]:
        try:
            yield
        except TookTooLong:
            tell(f"{name}: over {self._options.limit:.0f} s, given up")
            del self._running[name]
            self.comparison.too_long.add(name)

    def _new_sessions(self, how_many: int) -> list[str]:
        return [f"session-{next(self._numbers)}" for _ in range(how_many)]


async def compare(entrants: Mapping[str, Entrant], folder: Path, options: Options) -> Comparison:
    """``folder`` is for what workers log."""

    def start(name: str) -> AbstractAsyncContextManager[Running]:
        entrant = entrants[name]
        return running(entrant.contestant, entrant.url, entrant.python, folder, options.limit)

    async with AsyncExitStack() as stack:
        contest = Contest(options, {name: await stack.enter_async_context(start(name)) for name in entrants})
        for length in options.lengths:
            await contest.measure_turns(length)
        for name in contest.counting:
            async with AsyncExitStack() as others:
                more = [await others.enter_async_context(start(name)) for _ in range(options.processes - 1)]
                await contest.measure_increments(name, more)
    return contest.comparison


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tell_round(place: Place, one: Round) -> None:
    reading = "reads a part" if place.part else "reads all"
    failed = f", {sum(one.failures.values())} failed" if one.failures else ""
    middle = f"{median(one.took) * 1000:,.1f} ms" if one.took else "-"
    tell(
        f"{place.length:,} turns, {reading}, {place.in_flight} in flight: {place.name} {middle},"
        f" {one.rate:,.1f} turns/s{failed}"
    )
