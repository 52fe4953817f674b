"""Time as the model keeps it: whole microseconds since the Unix epoch, UTC.

Times that are stored come from the store (one clock for all servers that share it), never from a server's own clock.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

Micros = int

SECOND: Micros = 1_000_000


def system_micros() -> Micros:
    """This machine's wall clock; what an embedded store takes as the store's time."""
    return time.time_ns() // 1_000


def micros(duration: timedelta | float) -> Micros:
    """A duration (``timedelta`` or seconds) in microseconds."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    return round(seconds * SECOND)


def as_datetime(moment: Micros) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)
