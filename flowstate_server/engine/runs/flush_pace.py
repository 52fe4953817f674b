"""How long what runs emit waits for company before it is committed."""

from __future__ import annotations

from math import floor

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.model.clock import Seconds

_SHARE = 10
"""A run waits so many times as long as its commits take: what few runs emit goes at once, and many give the store no
more to do than it can."""

_WEIGHT = 1 / 64
"""Of the newest commit in what is remembered of all."""

_A_FOLLOWER = 0.0001
"""At least so long for each: to write a frame to one takes half of that, and others want to be served meanwhile."""

_STEP = 0.010
"""Runs that wait longer than they have to go on at multiples of so many seconds: those that go at one moment meet in
one commit, which costs much the same whatever its size."""


class FlushPace:
    """Shared by the runs of a process, which share what their commits cost.

    Between ``flush_after`` and ``max_flush_after``.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._least = settings.flush_after
        self._most = settings.max_flush_after
        self._usual = 0.0

    def delay(self, followers: int, now: float) -> Seconds:
        """How long a run that so many watches follow waits from ``now`` on, in seconds of any clock that all share."""
        seconds = min(self._most, max(_SHARE * self._usual, _A_FOLLOWER * followers))
        if seconds <= self._least:
            return self._least
        return Seconds(max(self._least, floor((now + seconds) / _STEP) * _STEP - now))

    def took(self, seconds: float) -> None:
        """A commit of what a run had emitted took so long, as the run sees it."""
        self._usual += (seconds - self._usual) * _WEIGHT
