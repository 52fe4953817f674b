"""Runs these benchmarks on the product of two checkouts in turn, and tells what has become worse; exits 1 if any has.

Each round runs the tree before, the tree after, and the tree before again, each in a process of its own. So the tree
after always runs between two of the tree before, which is also compared with itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from benchmarks.__main__ import add_options
from benchmarks.result import Measure
from benchmarks.verdict import TOLERANCE, WIDE, Compared, Verdict

CHECKOUT = Path(__file__).parents[1]
CODE = ("benchmarks", "tests/support")
"""What is run on both trees; of ``tests/support`` the PostgreSQL."""

WITHIN = 7
SECONDS = 0.25
"""Many short rounds in each process: against one of a second, which takes as long, the spread was a third on a busy
machine."""

WIDTHS = (44, 12, 12, 8, 8, 7)


@dataclass(frozen=True)
class Side:
    """A checkout whose product is measured by the code in ``stage``."""

    tree: Path
    stage: Path
    python: str

    def measure(self, options: Sequence[str]) -> list[Measure]:
        """Run the benchmarks once in a process of their own.

        Raises:
            RuntimeError: they failed, or measured another product.
        """
        done = subprocess.run(
            [self.python, "-m", "benchmarks", "--json", *options],
            cwd=self.stage,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (self.tree, self.tree / "protos")))},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the benchmarks failed on {self.tree}")
        told = json.loads(done.stdout)
        strays = [file for file in told["product"] if not Path(file).is_relative_to(self.tree)]
        if strays:
            raise RuntimeError(f"{', '.join(strays)} was measured, which is not in {self.tree}")
        return [Measure(**measure) for measure in told["measures"]]


@contextmanager
def staged() -> Iterator[Path]:
    """A folder with the benchmarks as they are now, apart from any product."""
    with tempfile.TemporaryDirectory(prefix="flowstate-benchmarks-") as name:
        for folder in CODE:
            shutil.copytree(
                CHECKOUT / folder, Path(name) / folder, ignore=shutil.ignore_patterns("__pycache__")
            )
        yield Path(name)


def alternate(before: Side, after: Side, rounds: int, options: Sequence[str]) -> list[Compared]:
    """Measure both sides in turn, telling on stderr how far it is."""
    of_before: list[Measure] = []
    of_after: list[Measure] = []
    rows: list[Compared] = []
    for number in range(1, rounds + 1):
        for side, found in ((before, of_before), (after, of_after), (before, of_before)):
            began = time.perf_counter()
            found += side.measure(options)
            took = time.perf_counter() - began
            print(f"round {number} of {rounds}: {side.tree}, {took:.0f} s", file=sys.stderr, flush=True)
        rows = compared(
            of_before, of_after
        )  # each time, so that trees that cannot be compared are refused early
    return rows


def compared(before: Iterable[Measure], after: Iterable[Measure]) -> list[Compared]:
    """Of every measure the values of both sides.

    Raises:
        ValueError: one side has a measure that the other has not.
    """
    values_before, values_after = _values(before), _values(after)
    if unpaired := values_before.keys() ^ values_after.keys():
        raise ValueError(f"measured on one side alone: {', '.join(sorted(name for name, *_ in unpaired))}")
    return [Compared(*key, values_before[key], values_after[key]) for key in values_before]


def _values(measures: Iterable[Measure]) -> dict[tuple[str, str, bool], list[float]]:
    values = defaultdict(list)
    for measure in measures:
        values[measure.name, measure.unit, measure.less_is_better].append(measure.value)
    return values


def table(rows: Iterable[Compared]) -> Iterator[str]:
    yield _line(("", "before", "after", "change", "itself", ""))
    for row in rows:
        yield _line(
            (
                row.name,
                *(_with_unit(value, row.unit) for value in row.medians),
                f"{row.change:+.1%}",
                f"{row.spread:.1%}",
                row.verdict,
            )
        )


def _with_unit(value: float, unit: str) -> str:
    return f"{value:,.1f} {unit}" if unit else f"{value:.3f}"


def _line(cells: Sequence[str]) -> str:
    first, *others = zip(cells, WIDTHS, strict=True)
    return f"{first[0]:<{first[1]}}" + "".join(f"  {cell:>{width}}" for cell, width in others)


def main(before: Path, after: Path, python: str, rounds: int, options: Sequence[str]) -> int:
    print(machine.line())
    with staged() as stage:
        rows = alternate(Side(before, stage, python), Side(after, stage, python), rounds, options)
    print(f"medians of {rounds} rounds: {before} twice in each, {after} once")
    print(*table(rows), sep="\n")
    worse = sum(row.verdict is Verdict.WORSE for row in rows)
    print(f"{worse or 'none'} worse by more than {TOLERANCE:.0%} beyond the spread of the tree before")
    if wide := sum(row.spread > WIDE for row in rows):
        print(f"{wide} with a spread over {WIDE:.0%}: their verdict says little, a quieter machine says more")
    return 1 if worse else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", type=_tree, metavar="BEFORE_TREE")
    parser.add_argument("after", type=_tree, metavar="AFTER_TREE")
    parser.add_argument(
        "--within", type=int, default=WITHIN, help=f"rounds of a benchmark in each process; default: {WITHIN}"
    )
    parser.add_argument("--python", default=sys.executable, help="interpreter of both; default: this one")
    add_options(parser, SECONDS)
    return parser.parse_args()


def _tree(name: str) -> Path:
    tree = Path(name).resolve()
    if not (tree / "flowstate_server").is_dir():
        raise argparse.ArgumentTypeError(f"{name} is no checkout: it has no flowstate_server")
    return tree


if __name__ == "__main__":
    given = _arguments()
    run_options = [
        *("--rounds", str(given.within)),
        *("--seconds", str(given.seconds)),
        *("--only", ",".join(given.only)),
    ]
    raise SystemExit(main(given.before, given.after, given.python, given.rounds, run_options))
