"""What a check found wrong."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from flowstate_server.model.frozen import frozen

# The first ones tell what is wrong; the others mostly follow from them.
SHOWN = 5


class Kind(StrEnum):
    """What was broken, the promise in words."""

    DUPLICATE_VERSION = "a version was given to more than one write"
    GAP = "a version that no write was given, and no unanswered write explains"
    WRONG_STATE = "what was answered is not what the writes before it make"
    REORDERED = "a write that began after an answer has no newer version than the answer"
    STALE_READ = "a read that began after an answer saw an older version"
    PRECONDITION = "a precondition was not kept to"
    REPEAT = "repeats of one call were not answered as one"
    HALF_WRITTEN = "an unanswered batch is in one record and not in another"
    NOT_SERIAL = "no order of the calls explains all answers"
    LOG_HOLE = "a sequence is missing"
    LOG_REPEAT = "a sequence comes twice, or out of order"
    LOG_END = "a log does not end with its one terminal event"
    TAIL_DIFFERS = "two readers of a log saw different events at one place"


@frozen
class Violation:
    """One broken promise: ``where`` names the record or log, ``involved`` the calls or events that show it."""

    kind: Kind
    where: str
    detail: str
    involved: tuple[object, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.kind.name} of {self.where}: {self.kind.value}: {self.detail}"]
        return "\n    ".join((*lines, *(str(one) for one in self.involved)))


class HistoryError(AssertionError):
    """A history that no right store can have; the text lists the first violations with their calls."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        more = len(violations) - SHOWN
        lines = [f"{len(violations)} violations", *(str(one) for one in violations[:SHOWN])]
        super().__init__("\n".join((*lines, f"... and {more} more") if more > 0 else lines))


def require_none(violations: Sequence[Violation]) -> None:
    """Raises :class:`HistoryError` if there is a violation."""
    if violations:
        raise HistoryError(violations)
