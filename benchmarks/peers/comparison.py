"""What is compared, and what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Options:
    """``lengths``: turns that sessions have. ``seconds``: when a round begins no more turns. ``limit``: what anything
    may take before it is given up.

    A round is ``turns_alone`` turns of one session, one after another, or ``turns_each`` of each of ``in_flight``
    sessions at once. Sessions shorter than ``renewed_below`` are made anew for each round, or they would soon be longer
    ones.
    """

    lengths: Sequence[int]
    rounds: int = 3
    seconds: float = 3.0
    limit: float = 300.0
    # 52 turns in three rounds and the one that warms up: LangGraph's deltas store a whole list once in 50.
    turns_alone: int = 13
    turns_each: int = 4
    in_flight: int = 32
    renewed_below: int = 100
    writers: int = 100
    processes: int = 4


@dataclass(frozen=True)
class Round:
    took: Sequence[float]
    seconds: float
    cpu: float
    failures: Mapping[str, int]

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds


@dataclass(frozen=True)
class Stored:
    """Bytes of each table; under one name, where a database tells only all."""

    tables: Mapping[str, int]

    def grown_since(self, before: Stored) -> int:
        """Bytes of those tables that have grown: what another gave back meanwhile, vacuumed of what was deleted or
        replaced before, says nothing of the turns."""
        return sum(max(0, size - before.tables.get(table, 0)) for table, size in self.tables.items())


@dataclass
class Cell:
    """A contestant at one length, so many in flight, reading all or a part. ``stored`` are the bytes of all ``turns``,
    those of the round that warms up included."""

    rounds: list[Round] = field(default_factory=list)
    stored: int = 0
    turns: int = 0

    @property
    def millis(self) -> float | None:
        """The median of a turn's time."""
        return _median(median(one.took) * 1000 for one in self.rounds if one.took)

    @property
    def rate(self) -> float | None:
        """Turns a second."""
        return _median(one.rate for one in self.rounds if one.took)

    @property
    def cpu_millis(self) -> float | None:
        """CPU of a turn: the caller's process and FlowState's server; not that of Postgres."""
        return _median(one.cpu / len(one.took) * 1000 for one in self.rounds if one.took)

    @property
    def stored_a_turn(self) -> float | None:
        return self.stored / self.turns if self.turns else None


@dataclass(frozen=True)
class Increments:
    """What became of increments of one counter at once. ``refused``: how often one was told to try again."""

    arrived: int
    refused: int
    failures: Mapping[str, int]


@dataclass(frozen=True, order=True)
class Place:
    """Where a cell is."""

    name: str
    length: int
    in_flight: int
    part: bool


@dataclass
class Comparison:
    cells: dict[Place, Cell] = field(default_factory=dict)
    one_process: dict[str, Increments] = field(default_factory=dict)
    processes: dict[str, Increments] = field(default_factory=dict)
    too_long: set[str] = field(default_factory=set)

    @property
    def failures(self) -> Mapping[str, Counter[str]]:
        """By contestant, what turns and increments have failed with."""
        failures: dict[str, Counter[str]] = {}
        for place, cell in self.cells.items():
            for one in cell.rounds:
                failures.setdefault(place.name, Counter()).update(one.failures)
        for increments in (self.one_process, self.processes):
            for name, outcome in increments.items():
                failures.setdefault(name, Counter()).update(outcome.failures)
        return {name: counted for name, counted in failures.items() if counted}


def _median(values: Iterable[float]) -> float | None:
    kept = list(values)
    return median(kept) if kept else None
