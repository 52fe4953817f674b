"""What a benchmark found: ratios and quantities, with a bar to clear or without, and figures that are only told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.load import Load

SIZES = (10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Options:
    """``seconds`` is the length of one side's part of a round, ``sizes`` how many sessions the stores have of which a
    benchmark compares several."""

    rounds: int
    seconds: float
    sizes: Sequence[int] = SIZES


@dataclass(frozen=True)
class Bar:
    limit: float
    at_least: bool

    def cleared_by(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


@dataclass(frozen=True)
class Measure:
    """The one number by which two trees are compared; its name is that of no other."""

    name: str
    value: float
    less_is_better: bool
    unit: str = ""


@dataclass(frozen=True)
class Comparison:
    """Rounds of a floor and of what is compared to it. ``slower`` turns the ratio of the rates over: how many times as
    long a call takes."""

    name: str
    floor: Sequence[Load]
    measured: Sequence[Load]
    bar: Bar | None = None
    slower: bool = False

    @property
    def ratios(self) -> list[float]:
        ratios = [one.rate / floor.rate for floor, one in zip(self.floor, self.measured, strict=True)]
        return [1 / ratio for ratio in ratios] if self.slower else ratios

    @property
    def measure(self) -> Measure:
        return Measure(self.name, median(self.ratios), less_is_better=self.slower)

    @property
    def missed(self) -> bool:
        return self.bar is not None and not self.bar.cleared_by(self.measure.value)


@dataclass(frozen=True)
class Quantity:
    """What has no floor in the same run; less of it is better. Of time it is what waits for a tick or a round trip
    rather than for the processor."""

    name: str
    value: float
    unit: str
    bar: Bar | None = None

    @property
    def measure(self) -> Measure:
        return Measure(self.name, self.value, less_is_better=True, unit=self.unit)

    @property
    def missed(self) -> bool:
        return self.bar is not None and not self.bar.cleared_by(self.value)


@dataclass(frozen=True)
class Figure:
    name: str
    text: str


Result = Comparison | Quantity | Figure
Benchmark = Callable[[Options], Awaitable[Sequence[Result]]]


def at_least(ratio: float) -> Bar:
    return Bar(ratio, at_least=True)


def at_most(value: float) -> Bar:
    return Bar(value, at_least=False)


def cpu_beside(
    name: str, floor: Sequence[Load], measured: Sequence[Load], bar: Bar | None = None
) -> Quantity:
    """How many times the server's processor time of a call of the floor one that is measured takes."""
    ratios = [one.cpu_micros / bare.cpu_micros for bare, one in zip(floor, measured, strict=True)]
    return Quantity(f"{name}, CPU beside bare", median(ratios), "times", bar)


async def interleaved(rounds: int, *sides: Callable[[], Awaitable[Load]]) -> list[list[Load]]:
    """The loads of each side: every round takes all sides in turn, after a round that warms up and does not count."""
    loads: list[list[Load]] = [[] for _ in sides]
    for number in range(rounds + 1):
        for side, kept in zip(sides, loads, strict=True):
            load = await side()
            if number:
                kept.append(load)
    return loads
