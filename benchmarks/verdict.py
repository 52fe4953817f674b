"""Whether a tree is slower than another one: the arithmetic of ``python -m benchmarks.compare``."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from statistics import median, quantiles

TOLERANCE = 0.03
"""How much worse than its spread a measure may get."""

SPLITS = 2_000
COVERED = 9
"""Of ten halvings of a side so many stay within its spread."""

WIDE = 0.1
"""Under a spread over this a verdict says little."""


class Verdict(StrEnum):
    WORSE = "WORSE"
    SAME = "same"
    BETTER = "better"


@dataclass(frozen=True)
class Compared:
    """One measure of two trees, a value for each run. ``before`` has at least two."""

    name: str
    unit: str
    less_is_better: bool
    before: Sequence[float]
    after: Sequence[float]

    @property
    def medians(self) -> tuple[float, float]:
        return median(self.before), median(self.after)

    @property
    def change(self) -> float:
        """Of the medians: 0.1 is ten percent more than before, good or bad."""
        before, after = self.medians
        return _ratio(after, before) - 1

    @property
    def spread(self) -> float:
        """How far the side before is from itself."""
        return spread(self.before)

    @property
    def verdict(self) -> Verdict:
        gain = -self.change if self.less_is_better else self.change
        limit = TOLERANCE + self.spread
        if gain < -limit:
            return Verdict.WORSE
        return Verdict.BETTER if gain > limit else Verdict.SAME


def spread(values: Sequence[float]) -> float:
    """By how much the medians of two random halves of ``values`` differ, in nine of ten halvings. The same values have
    the same spread, whenever it is asked for."""
    shuffled, half, draw = list(values), len(values) // 2, random.Random(0)
    found = []
    for _ in range(SPLITS):
        draw.shuffle(shuffled)
        one, other = sorted((median(shuffled[:half]), median(shuffled[half:])))
        found.append(_ratio(other, one) - 1)
    return quantiles(found, n=10, method="inclusive")[COVERED - 1]


def _ratio(value: float, other: float) -> float:
    """Of nothing to nothing 1: some measures count what should not happen at all."""
    if other == 0:
        return 1.0 if value == 0 else inf
    return value / other
