"""Two trees measured in turn by the same code. What is measured is a stand-in, but for the last test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.compare import CHECKOUT, Side, alternate, compared, main, table
from benchmarks.result import Measure
from benchmarks.verdict import Compared

STAND_IN = """
import json, os, sys
tree = os.environ["PYTHONPATH"].split(os.pathsep)[0]
with open("order", "a") as order:
    print(os.path.basename(tree), *sys.argv[1:], file=order)
measure = {"name": "calls", "value": float(open(f"{tree}/rate").read()), "less_is_better": False, "unit": ""}
print(json.dumps({"product": [open(f"{tree}/product").read()], "measures": [measure]}))
"""


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    (tmp_path / "stage/benchmarks").mkdir(parents=True)
    (
        tmp_path / "stage/benchmarks/__init__.py"
    ).touch()  # or the checkout's package, which has one, is taken for it
    (tmp_path / "stage/benchmarks/__main__.py").write_text(STAND_IN)
    return tmp_path / "stage"


def side(stage: Path, name: str, rate: float, product: str = "") -> Side:
    """A tree on which the stand-in measures ``rate``."""
    tree = stage.parent / name
    tree.mkdir()
    (tree / "rate").write_text(str(rate))
    (tree / "product").write_text(product or str(tree / "flowstate_server/__init__.py"))
    return Side(tree, stage, sys.executable)


def test_the_tree_after_runs_between_two_of_the_tree_before(stage: Path) -> None:
    before, after = side(stage, "before", 100), side(stage, "after", 90)

    (row,) = alternate(before, after, 2, ["--only", "calls"])

    assert row == Compared("calls", "", False, [100.0] * 4, [90.0] * 2)
    order = ["before", "after", "before", "before", "after", "before"]
    ran = (stage / "order").read_text().splitlines()
    assert ran == [f"{name} --json --only calls" for name in order]


def test_a_tree_can_be_compared_with_itself(stage: Path) -> None:
    before = side(stage, "before", 100)
    (row,) = alternate(before, before, 1, [])
    assert (row.before, row.after) == ([100.0] * 2, [100.0])


def test_a_product_from_elsewhere_is_not_taken_for_the_tree(stage: Path) -> None:
    strange = side(stage, "before", 100, product="/elsewhere/flowstate_server/__init__.py")
    with pytest.raises(RuntimeError, match="which is not in"):
        strange.measure([])


def test_a_failed_run_ends_the_comparison(stage: Path) -> None:
    before = side(stage, "before", 100)
    (before.tree / "rate").unlink()
    with pytest.raises(RuntimeError, match=f"failed on {before.tree}"):
        before.measure([])


def test_what_only_one_side_measures_is_refused() -> None:
    calls, tails = (Measure(name, 1.0, less_is_better=False) for name in ("calls", "tails"))
    with pytest.raises(ValueError, match="on one side alone: tails"):
        compared([calls, tails], [calls])


def test_the_table_has_medians_change_spread_and_verdict() -> None:
    rows = [
        Compared("calls", "", False, [0.5, 0.5], [0.4]),
        Compared("memory", "MiB", True, [60.0, 63.0], [60.0]),
    ]
    _, calls, memory = table(rows)
    assert calls.split() == ["calls", "0.500", "0.400", "-20.0%", "0.0%", "WORSE"]
    assert memory.split() == ["memory", "61.5", "MiB", "60.0", "MiB", "-2.4%", "5.0%", "same"]


def test_this_tree_against_itself(capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--rounds", "1", "--seconds", "0.05", "--only", "commit-state"]
    main(CHECKOUT, CHECKOUT, sys.executable, 1, options)
    told = capfd.readouterr().out
    assert "CommitState, one increment" in told
    assert "CommitState, with idempotency key" in told
