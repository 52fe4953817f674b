"""For how long other processes have been silent, by this process's own clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from flowstate_server.model.clock import SECOND, Micros, Seconds
from flowstate_server.model.records import ProcessRecord


class Silences:
    """A process is silent when its ``renew_time`` stands still for its lease of the monotonic clock, whatever the wall
    clocks of machines say.

    Only who looks on all the time can tell. Who looked away for over half a ``lease`` (it was stopped or blocked, or
    could not reach the store) begins anew, for then it may have been the one that kept the others from renewing. Half:
    with the third of a lease between two renewals that is less than one.
    """

    def __init__(self, lease: Seconds, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest_gap = lease / 2
        self._clock = clock
        self._looked = clock()
        self._since: dict[str, tuple[Micros, float]] = {}

    def look(self) -> float:
        """Say that this process is awake; now."""
        now = self._clock()
        if now - self._looked > self._longest_gap:
            self._since.clear()
        self._looked = now
        return now

    def note(self, processes: Iterable[ProcessRecord]) -> None:
        """Take what was just read."""
        now = self.look()
        before, self._since = self._since, {}
        for process in processes:
            seen = before.get(process.process)
            if seen is None or seen[0] != process.renew_time:
                seen = (process.renew_time, now)
            self._since[process.process] = seen

    def lasts(self, process: ProcessRecord) -> bool:
        """Whether it has been silent for its lease."""
        now = self.look()
        seen = self._since.get(process.process)
        return (
            seen is not None and seen[0] == process.renew_time and (now - seen[1]) * SECOND >= process.lease
        )
