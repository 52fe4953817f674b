"""Waiting for a store that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from flowstate_server.errors import StoreUnavailableError, UnclearCommitError

T = TypeVar("T")

# Seconds: a database that restarts is missed briefly at first; later the many runs of a server ask it no more than
# every two seconds each. Both stay far below a lease of 15.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


async def once_back(operation: Callable[[], Awaitable[T]], *, away: Callable[[], None] | None = None) -> T:
    """What ``operation`` gives, which is repeated with growing pauses for as long as the store is away and ``away``,
    which is called whenever it is, does not raise.

    For the reads and writes of runs: nobody repeats a run, so that it rather waits, until it is cancelled, takes too
    long or has lost its lease.

    Raises:
        UnclearCommitError: it may have been done.
        What ``away`` raises.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return await operation()
        except StoreUnavailableError as error:
            if away is not None:
                away()
            if isinstance(error, UnclearCommitError):
                raise
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)
