"""The tables, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.peers.comparison import Cell, Comparison, Increments, Options, Place
from benchmarks.peers.contestants import Contestant

NOTHING = "–"

Value = Callable[[Cell], float | None]


def report(comparison: Comparison, contestants: Mapping[str, Contestant], options: Options) -> Iterator[str]:
    turns = ", ".join(f"{length:,}" for length in options.lengths)
    yield f"A turn that reads the whole history, in sessions of {turns} turns:\n"
    yield from _turns(comparison, contestants, options, part=False)
    yield "\nThe same where only the newest 20 messages are read:\n"
    yield from _turns(
        comparison, {name: one for name, one in contestants.items() if one.reads_part}, options, part=True
    )
    yield f"\nOf {options.writers} increments of one counter, made at once, arrived:\n"
    yield from _increments(comparison, contestants, options.processes)
    yield from _failures(comparison, contestants)


def notes(contestants: Mapping[str, Contestant], versions: Mapping[str, str]) -> Iterator[str]:
    """What to know of each, and the versions of its packages."""
    for one in contestants.values():
        told = ", ".join(f"{package} {versions[package]}" for package in one.packages)
        yield f"* {one.label}{f' ({told})' if told else ''}: {one.note}"


def _turns(
    comparison: Comparison, contestants: Mapping[str, Contestant], options: Options, *, part: bool
) -> Iterator[str]:
    many = options.in_flight
    columns: list[tuple[str, int, Value]] = [
        ("one at a time, ms a turn", 1, lambda cell: cell.millis),
        (f"{many} at a time, turns/s", many, lambda cell: cell.rate),
        (f"{many} at a time, CPU ms a turn", many, lambda cell: cell.cpu_millis),
    ]
    if not part:
        columns.append(("KiB stored a turn", 1, lambda cell: _kib(cell.stored_a_turn)))
    yield _row(["", *(heading for heading, _, _ in columns)])
    yield _row(["---", *("---:" for _ in columns)])
    for name, one in contestants.items():
        values = [
            " / ".join(
                _value(comparison, Place(name, length, in_flight, part), value) for length in options.lengths
            )
            for _, in_flight, value in columns
        ]
        yield _row([one.label, *values])


def _increments(
    comparison: Comparison, contestants: Mapping[str, Contestant], processes: int
) -> Iterator[str]:
    yield _row(["", "writers in one process", f"in {processes} processes"])
    yield _row(["---", "---", "---"])
    for name, one in contestants.items():
        outcomes = (comparison.one_process, comparison.processes)
        yield _row([one.label, *(_outcome(one, of.get(name)) for of in outcomes)])


def _outcome(contestant: Contestant, outcome: Increments | None) -> str:
    if not contestant.counts:
        return "keeps no counter"
    if outcome is None:
        return "over the limit"
    told = f"{outcome.arrived}"
    if outcome.refused:
        told += f", after {outcome.refused} refusals and repeats"
    if failed := sum(outcome.failures.values()):
        told += f"; {failed} failed"
    return told


def _failures(comparison: Comparison, contestants: Mapping[str, Contestant]) -> Iterator[str]:
    for name, failures in comparison.failures.items():
        told = "; ".join(f"{number} times {failure}" for failure, number in failures.most_common())
        yield f"\n{contestants[name].label} failed: {told}"


def _value(comparison: Comparison, place: Place, value: Value) -> str:
    cell = comparison.cells.get(place)
    told = value(cell) if cell is not None else None
    if told is None:
        return "over the limit" if place.name in comparison.too_long else NOTHING
    return _figure(told)


def _figure(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}"


def _kib(size: float | None) -> float | None:
    return None if size is None else size / 1024


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
