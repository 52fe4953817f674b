"""A timer for what is put off more often than it is late: a frame that a reader takes, news ahead of a heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

_TICK = 0.001
"""uvloop counts in milliseconds, and would round less to nothing."""


class Watchdog:
    """Calls ``expired`` on the running loop once something has taken longer than it may.

    The timer of what was over in time is left alone, and looked at when it goes off: to stop it and start another, as
    ``asyncio.timeout`` does, costs a tenth of what a frame costs.
    """

    __slots__ = ("_due", "_expired", "_goes_off", "_timer")

    def __init__(self, expired: Callable[[], object]) -> None:
        self._expired = expired
        self._due = 0.0  # by the monotonic clock; 0: nothing goes on
        self._goes_off = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Something begins that may take so long."""
        self._due = due = monotonic() + seconds
        if self._timer is None or due < self._goes_off:
            self._set(seconds)

    def stop(self) -> None:
        """It is over."""
        self._due = 0.0

    def close(self) -> None:
        """Nothing more begins."""
        self.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._goes_off = monotonic() + seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due:
            left = self._due - monotonic()
            if left > 0:
                self._set(max(left, _TICK))
            else:
                self._due = 0.0
                self._expired()
