"""How long the sessions of a flow, and what is in them, are kept."""

from __future__ import annotations

import math
from datetime import timedelta

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.model.clock import Seconds
from flowstate_server.model.frozen import frozen

EPHEMERAL_TTL = Seconds(7 * 24 * 3600.0)


@frozen
class Retention:
    """Of the turns and ended requests of a session the oldest go, whole, with their events, items, inputs and outputs.

    ``max_turns`` is how many completed turns are kept at most, ``max_age`` (seconds, or a ``timedelta``) how long after
    its end a request is kept; ``None``: without a limit. Requests that did not complete go with the turns around them.
    It is done by a sweep, now and then.
    """

    max_turns: int | None = None
    max_age: float | timedelta | None = None

    def __post_init__(self) -> None:
        turns: object = self.max_turns
        if turns is not None and (type(turns) is not int or turns < 1):
            raise FlowDefinitionError("Retention(max_turns=...) takes a whole number of at least 1")
        object.__setattr__(self, "max_age", positive_seconds(self.max_age, "Retention(max_age=...)"))

    @property
    def seconds(self) -> Seconds | None:
        """``max_age`` in seconds."""
        return positive_seconds(self.max_age, "max_age")


@frozen
class Keeping:
    """``ttl`` is how long after its last activity a session is deleted, ``ephemeral_ttl`` the same of those that were
    made by a call without one, in seconds; ``None``: never."""

    ttl: Seconds | None = None
    ephemeral_ttl: Seconds | None = EPHEMERAL_TTL
    retention: Retention | None = None

    def lifetime(self, *, ephemeral: bool) -> Seconds | None:
        return self.ephemeral_ttl if ephemeral else self.ttl


def positive_seconds(duration: float | timedelta | None, what: str) -> Seconds | None:
    """
    Raises:
        FlowDefinitionError: it is not positive, or no duration.
    """
    if duration is None:
        return None
    given: object = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
        raise FlowDefinitionError(f"{what} takes a positive number of seconds or a timedelta")
    return Seconds(float(given))
