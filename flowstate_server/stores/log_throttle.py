"""Log records that many callers cause at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

SECONDS = 60.0
"""Often enough to see that the trouble goes on, rare enough that the log stays readable."""


class LogThrottle(logging.Filter):
    """Lets the same message through once a minute: while a store is away every call meets the same trouble."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        self._said = {text: since for text, since in self._said.items() if now - since < SECONDS}
        return self._said.setdefault(record.getMessage(), now) == now
