"""How long code of authors takes to validate what is about to be stored.

Others wait for it: those of the same store while it runs in a transaction, all while it runs on the event loop.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

from flowstate_server.errors import Violation
from flowstate_server.state.json_pointer import format_pointer

MOST_SECONDS = 0.25
"""A thousand times what validators need, and short enough for others to wait."""
TOO_SLOW = "too_slow"


class _Clock:
    """Monotonic seconds, without those in which garbage was collected: a collection holds up all threads, for half a
    second where there are a million objects, and is nobody's doing."""

    def __init__(self) -> None:
        self._collecting_since = 0.0
        self._collected = 0.0
        gc.callbacks.append(self._note)

    def __call__(self) -> float:
        return monotonic() - self._collected

    def _note(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self._collecting_since = monotonic()
        else:
            self._collected += monotonic() - self._collecting_since


code_clock = _Clock()


class CodeAtWork:
    """The fields that code of authors validates right now, and since when. Another thread may ask."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now: tuple[tuple[str, ...], float] | None = None

    @property
    def left(self) -> float:
        """The seconds that it may go on."""
        now = self.now
        return MOST_SECONDS if now is None else now[1] + MOST_SECONDS - code_clock()

    @property
    def overdue(self) -> tuple[Violation, ...]:
        """What there is to say of code that has taken too long, empty while it has not."""
        now = self.now
        return () if now is None else too_slow(now[0], code_clock() - now[1])


CODE_AT_WORK: ContextVar[CodeAtWork | None] = ContextVar("flowstate_code_at_work", default=None)


@contextmanager
def timed(fields: Iterable[str], problems: list[Violation]) -> Iterator[None]:
    """Add to ``problems`` if the code that validates ``fields`` takes too long; :data:`CODE_AT_WORK` is told of it."""
    at_work, began, names = CODE_AT_WORK.get(), code_clock(), tuple(fields)
    if at_work is not None:
        at_work.now = names, began
    try:
        yield
    finally:
        if at_work is not None:
            at_work.now = None
        problems += too_slow(names, code_clock() - began)


def too_slow(fields: Iterable[str], seconds: float) -> tuple[Violation, ...]:
    if seconds <= MOST_SECONDS:
        return ()
    problem = (
        f"validating took {seconds:.1f} s or more, at most {MOST_SECONDS * 1000:.0f} ms are allowed: "
        "look things up in the block, ahead of the write"
    )
    return tuple(Violation(format_pointer((name,)), TOO_SLOW, problem) for name in sorted(fields))
