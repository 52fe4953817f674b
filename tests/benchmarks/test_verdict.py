"""The arithmetic by which two trees are compared."""

from __future__ import annotations

import pytest

from benchmarks.load import Load
from benchmarks.result import Comparison, Measure, Quantity
from benchmarks.verdict import Compared, Verdict, spread

STEADY = (100.0, 100.0, 100.0, 100.0)


def compared(
    before: tuple[float, ...], after: tuple[float, ...], *, less_is_better: bool = False
) -> Compared:
    return Compared("calls", "", less_is_better, before, after)


def test_medians_and_change_are_not_moved_by_one_wild_run() -> None:
    rows = compared((100.0, 102.0, 98.0, 5.0, 101.0), (110.0, 112.0, 900.0))
    assert rows.medians == (100.0, 112.0)
    assert rows.change == pytest.approx(0.12)


def test_runs_that_do_not_differ_have_no_spread() -> None:
    assert spread(STEADY) == 0.0


def test_the_spread_of_two_runs_is_their_distance() -> None:
    assert spread([100.0, 104.0]) == pytest.approx(0.04)
    assert spread([104.0, 100.0]) == pytest.approx(0.04)


def test_the_spread_is_that_of_halves_not_of_single_runs() -> None:
    """Medians of halves of these are 8, 4 or 0 apart, each in a third of the halvings; single runs up to 12."""
    assert spread([94.0, 98.0, 102.0, 106.0]) == pytest.approx(104 / 96 - 1)


def test_the_spread_grows_with_the_noise_and_shrinks_with_the_rounds() -> None:
    noise = [100.0, 103.0, 97.0, 105.0, 95.0, 101.0]
    louder = [100 + 3 * (value - 100) for value in noise]
    assert spread(noise) < spread(louder)
    assert spread(noise * 10) < spread(noise)


def test_the_spread_of_the_same_runs_is_always_the_same() -> None:
    values = [100.0, 103.0, 97.0, 105.0, 95.0, 101.0]
    assert spread(values) == spread(values)


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (96.9, Verdict.WORSE),
        (97.1, Verdict.SAME),
        (100.0, Verdict.SAME),
        (102.9, Verdict.SAME),
        (103.1, Verdict.BETTER),
    ],
)
def test_without_spread_three_percent_are_allowed(after: float, verdict: Verdict) -> None:
    assert compared(STEADY, (after,)).verdict is verdict


@pytest.mark.parametrize(
    ("after", "verdict"), [(103.1, Verdict.WORSE), (102.9, Verdict.SAME), (96.9, Verdict.BETTER)]
)
def test_more_is_worse_where_less_is_better(after: float, verdict: Verdict) -> None:
    assert compared(STEADY, (after,), less_is_better=True).verdict is verdict


def test_the_three_percent_come_on_top_of_the_spread() -> None:
    before = (100.0, 104.0)
    assert compared(before, (102 * 0.931,)).verdict is Verdict.SAME
    assert compared(before, (102 * 0.929,)).verdict is Verdict.WORSE


def test_what_should_not_happen_is_worse_once_it_does() -> None:
    never = (0.0, 0.0)
    assert compared(never, (0.0,), less_is_better=True).verdict is Verdict.SAME
    assert compared(never, (1.0,), less_is_better=True).verdict is Verdict.WORSE


def test_results_say_which_way_is_better() -> None:
    floor, measured = [Load(100, 1.0, 0.1)], [Load(50, 1.0, 0.1)]
    assert Comparison("calls", floor, measured).measure == Measure("calls", 0.5, less_is_better=False)
    assert Comparison("turns", floor, measured, slower=True).measure == Measure(
        "turns", 2.0, less_is_better=True
    )
    assert Quantity("memory", 64.0, "MiB").measure == Measure("memory", 64.0, less_is_better=True, unit="MiB")
