"""Signs of life on streams that have nothing to say."""

from __future__ import annotations

from time import monotonic

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.model.clock import Seconds


def heartbeat_interval(asked: Seconds, settings: EngineSettings) -> Seconds:
    """The interval for a caller who asks for one, or with 0 for none."""
    if asked <= 0:
        return settings.heartbeat
    return min(max(asked, settings.min_heartbeat), settings.max_heartbeat)


class Heartbeats:
    """When the reader of a stream has to be given a frame."""

    def __init__(self, interval: Seconds) -> None:
        self._interval = interval
        self.given()

    def given(self) -> None:
        """It was given one just now."""
        self._due = monotonic() + self._interval

    @property
    def patience(self) -> Seconds:
        """Seconds until it has to be given the next, whatever goes on that it does not see."""
        return Seconds(self._due - monotonic())
