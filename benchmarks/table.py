"""Prints results as they come."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.load import Load
from benchmarks.result import Comparison, Figure, Latency, Result

_WIDTHS = (34, 7, 13, 17, 17, 8, 6)
_HEADINGS = ("", "ratio", "min..max", "calls/s", "server CPU us", "bar", "")


def heading() -> str:
    return _line(_HEADINGS)


def row(result: Result) -> str:
    match result:
        case Figure():
            return _figure(result)
        case Latency():
            return _latency(result)
        case Comparison():
            return _comparison(result)


def _comparison(result: Comparison) -> str:
    verdict = "" if result.bar is None else "FAIL" if result.missed else "PASS"
    return _line(
        (
            result.name,
            f"{result.ratio:.3f}",
            f"{min(result.ratios):.2f}..{max(result.ratios):.2f}",
            f"{_calls(result.measured):,.0f} / {_calls(result.floor):,.0f}",
            f"{_cpu(result.measured):,.0f} / {_cpu(result.floor):,.0f}",
            str(result.bar or ""),
            verdict,
        )
    )


def _figure(result: Figure) -> str:
    return f"{result.name:<{_WIDTHS[0]}}  {result.text}"


def _latency(result: Latency) -> str:
    verdict = "FAIL" if result.missed else "PASS"
    return _line((result.name, f"{result.millis:.1f} ms", "", "", "", f"{result.bar} ms", verdict))


def _calls(loads: Sequence[Load]) -> float:
    return median(load.calls / load.seconds for load in loads)


def _cpu(loads: Sequence[Load]) -> float:
    return median(load.cpu_micros for load in loads)


def _line(cells: Sequence[str]) -> str:
    first, *others = zip(cells, _WIDTHS, strict=True)
    return f"{first[0]:<{first[1]}}" + "".join(f"  {cell:>{width}}" for cell, width in others)
