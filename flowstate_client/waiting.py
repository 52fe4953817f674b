"""What the log is told while calls wait for a server that is away."""

from __future__ import annotations

import logging
import time

from flowstate_client.errors import ApiError, ConnectError

# Seconds. A restart is over by then, and nobody has to know. Chosen.
_UNNOTICED = 3.0
# Seconds. However many calls and streams wait, one line does for all. Chosen.
_APART = 60.0

_logger = logging.getLogger("flowstate_client")


class Waiting:
    """Warns that the server at ``target`` does not answer, at most once a minute."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._told: float | None = None

    def notice(self, error: ApiError, seconds: float) -> None:
        """A call met ``error``, has done so for ``seconds``, and tries again."""
        if not isinstance(error, ConnectError) or seconds < _UNNOTICED:
            return
        now = time.monotonic()
        if self._told is None or now - self._told >= _APART:
            self._told = now
            _logger.warning(
                "waiting for the server at %s, which has not answered for %.0f s", self._target, seconds
            )
