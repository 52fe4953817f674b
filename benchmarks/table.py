"""Prints results as they come."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.load import Load
from benchmarks.result import Comparison, Figure, Quantity, Result

_WIDTHS = (60, 12, 13, 19, 17, 8, 6)
_HEADINGS = ("", "", "min..max", "calls/s", "server CPU us", "bar", "")


def heading() -> str:
    return _line(_HEADINGS)


def row(result: Result) -> str:
    match result:
        case Figure():
            return f"{result.name:<{_WIDTHS[0]}}  {result.text}"
        case Quantity():
            value = f"{result.value:,.1f} {result.unit}"
            return _line((result.name, value, "", "", "", *_bar(result)))
        case Comparison():
            return _comparison(result)


def _comparison(result: Comparison) -> str:
    return _line(
        (
            result.name,
            f"{result.measure.value:.3f}",
            f"{min(result.ratios):.2f}..{max(result.ratios):.2f}",
            f"{_calls(result.measured):,.0f} / {_calls(result.floor):,.0f}",
            f"{_cpu(result.measured):,.0f} / {_cpu(result.floor):,.0f}",
            *_bar(result),
        )
    )


def _bar(result: Comparison | Quantity) -> tuple[str, str]:
    if result.bar is None:
        return "", ""
    return str(result.bar), "FAIL" if result.missed else "PASS"


def _calls(loads: Sequence[Load]) -> float:
    return median(load.calls / load.seconds for load in loads)


def _cpu(loads: Sequence[Load]) -> float:
    return median(load.cpu_micros for load in loads)


def _line(cells: Sequence[str]) -> str:
    first, *others = zip(cells, _WIDTHS, strict=True)
    return f"{first[0]:<{first[1]}}" + "".join(f"  {cell:>{width}}" for cell, width in others)
