"""Repeating what failed for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from flowstate_client.config import Backoff
from flowstate_client.error_reasons import is_passing
from flowstate_client.errors import ApiError, DeadlineExceeded

T = TypeVar("T")


class Outage:
    """Failures in a row: how long to pause after each, and when to give up.

    ``budget`` is how many seconds the failures may go on; ``None``: for ever.
    """

    def __init__(self, backoff: Backoff, *, budget: float | None, healthy_after: float = 0.0) -> None:
        self.budget = budget
        self._backoff = backoff
        self._healthy_after = healthy_after
        self._failures = 0
        self._began: float | None = None
        self._up_since: float | None = None

    def over(self) -> None:
        """Something came through. The pauses start from the beginning after ``healthy_after`` seconds of that."""
        self._began = None
        if self._up_since is None:
            self._up_since = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the failures have gone on."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def failed(self, *, retry_after: float | None = None) -> float | None:
        """Seconds to pause before the next attempt; ``None``: give up. Honours what the server asks for."""
        now = time.monotonic()
        if self._up_since is not None and now - self._up_since >= self._healthy_after:
            self._failures = 0
        self._up_since = None
        self._failures += 1
        if self._began is None:
            self._began = now
        pause = self._backoff.pause(self._failures, at_least=retry_after)
        if self.budget is None:
            return pause
        left = self._began + self.budget - now
        if left <= 0 or left < (retry_after or 0.0):
            return None
        return min(pause, left)


async def repeat(
    attempt: Callable[[float], Awaitable[T]],
    *,
    timeout: float,
    backoff: Backoff,
    passing: Callable[[ApiError], bool] = is_passing,
    noticed: Callable[[ApiError, float], None] = lambda error, seconds: None,
) -> T:
    """``attempt(seconds left)``, repeated while its error is ``passing`` and time is left. ``noticed`` is told of each
    error that another attempt follows, and for how long they have come.

    Raises:
        ApiError: that of the last attempt; of the one before, where only the time for the last was too short.
    """
    deadline = time.monotonic() + timeout
    outage = Outage(backoff, budget=timeout)
    before: ApiError | None = None
    while True:
        left = deadline - time.monotonic()
        try:
            return await attempt(left)
        except ApiError as error:
            if before is not None and isinstance(error, DeadlineExceeded) and not error.reason:
                raise before from None
            if not passing(error):
                raise
            before = error
            left = deadline - time.monotonic()
            pause = outage.failed(retry_after=error.retry_after)
            if pause is None or left <= max(error.retry_after or 0.0, 0.01):
                raise
            # Never past the middle of what is left, so that the last attempt has time to succeed.
            pause = max(min(pause, left / 2), error.retry_after or 0.0)
            noticed(error, outage.seconds)
        await asyncio.sleep(pause)
