"""Collections of garbage that take long, as those of a process with a million objects do."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collections_take(seconds: float) -> Iterator[list[float]]:
    """The list has one entry for each collection that was begun within."""
    taken: list[float] = []

    def held_up(phase: str, _: object) -> None:
        if phase == "start":
            taken.append(seconds)
            time.sleep(seconds)

    gc.callbacks.append(held_up)
    try:
        yield taken
    finally:
        gc.callbacks.remove(held_up)
