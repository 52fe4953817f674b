"""How long what runs emit waits for company before it is committed."""

from __future__ import annotations

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.model.clock import Seconds

_SHARE = 10
"""A run waits so many times as long as its commits take: what few runs emit goes at once, and many give the store no
more to do than it can."""

_WEIGHT = 1 / 64
"""Of the newest commit in what is remembered of all."""


class FlushPace:
    """Shared by the runs of a process, which share what their commits cost.

    Between ``flush_after`` and ``max_flush_after``.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._least = settings.flush_after
        self._most = settings.max_flush_after
        self._usual = 0.0

    @property
    def delay(self) -> Seconds:
        return Seconds(min(self._most, max(self._least, _SHARE * self._usual)))

    def took(self, seconds: float) -> None:
        """A commit of what a run had emitted took so long, as the run sees it."""
        self._usual += (seconds - self._usual) * _WEIGHT
