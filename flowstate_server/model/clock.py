"""Time as the model keeps it: whole microseconds since the Unix epoch, UTC.

Times that are stored come from the store (one clock for all servers that share it), never from a server's own clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import NewType

Micros = NewType("Micros", int)
Seconds = NewType("Seconds", float)
"""A duration as asyncio takes it."""

SECOND = Micros(1_000_000)
FARTHEST = Micros(86_400 * SECOND)


def system_micros() -> Micros:
    """This machine's wall clock; what an embedded store takes as the store's time."""
    return Micros(time.time_ns() // 1_000)


class ForwardClock:
    """This machine's wall clock, which never runs backwards: the store's time where a store has no clock of its own.

    When the machine's clock is set back, this one goes on from where it was at the pace of the monotonic clock, so that
    leases still expire in their time. It stays ahead by as much until the machine's clock is set forward, or the
    process ends. Any thread may ask.
    """

    def __init__(
        self,
        system: Callable[[], Micros] = system_micros,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._system = system
        self._monotonic_ns = monotonic_ns
        self._lock = Lock()
        self._lead = self._system() - self._monotonic()
        """How far the wall clock is ahead of the monotonic one, at the most that was ever seen."""

    def now(self) -> Micros:
        with self._lock:
            # In this order: what passes between the two readings makes the lead smaller, so that it can't add up.
            system, monotonic = self._system(), self._monotonic()
            self._lead = max(self._lead, system - monotonic)
            return Micros(self._lead + monotonic)

    def follow(self, stored: Micros) -> None:
        """Answer no earlier than ``stored``, a time found in the store, from now on.

        One over a day ahead of the machine's clock is passed over: rather than that the clock was since set back so
        far, it was wrong when that was stored, and time would be wrong for good.
        """
        with self._lock:
            system, monotonic = self._system(), self._monotonic()
            if stored <= system + FARTHEST:
                self._lead = max(self._lead, stored - monotonic)

    def _monotonic(self) -> Micros:
        return Micros(self._monotonic_ns() // 1_000)


def micros(duration: timedelta | Seconds) -> Micros:
    """A duration (``timedelta`` or seconds) in microseconds."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    return Micros(round(seconds * SECOND))


def as_datetime(moment: Micros) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)


def elapsed_since(started: float) -> Micros:
    """How long ago ``started`` was, a reading of ``time.monotonic``."""
    return micros(Seconds(time.monotonic() - started))
