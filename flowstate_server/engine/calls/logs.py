"""Pages and tails of logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from flowstate_server.model.clock import Seconds
from flowstate_server.model.events import Event, EventRecord
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import Audience, is_for
from flowstate_server.model.word import Word


@frozen
class LogCursor:
    """A place in a log: everything up to ``sequence`` was seen. ``log_id`` names the log's incarnation."""

    log_id: str
    sequence: int


@frozen
class EventFilter:
    """Narrows what the caller's plane may see: to events of these ``types`` (none: all), and for this ``audience``
    (``None``: all that the plane may see)."""

    types: frozenset[str] = frozenset()
    audience: Audience | None = None

    def passes(self, event: Event) -> bool:
        if self.types and event.type.value not in self.types:
            return False
        return self.audience is None or is_for(event.audiences, self.audience)


EVERYTHING = EventFilter()


class EndReason(Word):
    """Why a tail is over: its request has ended, its session was deleted, or it has replayed all that it was to."""

    TERMINAL = "terminal"
    DELETED = "deleted"
    REPLAY_DONE = "replay_done"


@frozen
class TailCall:
    """Which log to follow, that of a request or of a session, and from where: after ``cursor``, or only what is new
    (``latest``).

    ``heartbeat`` is in seconds (0: the default). ``replay_only`` ends after what is there.
    """

    request_id: str = ""
    cursor: LogCursor = LogCursor("", 0)
    latest: bool = False
    heartbeat: Seconds = Seconds(0.0)
    replay_only: bool = False
    filter: EventFilter = EVERYTHING
    session_id: str = ""


@frozen
class TailStarted:
    cursor: LogCursor
    earliest: int
    latest: int
    heartbeat: Seconds


@frozen
class TailBatch:
    """Events as the caller's plane may see them, at least one. ``after`` is the cursor before the batch.

    Tails that stand at the same place get the same batch: who serializes it may keep that in ``serialized``.
    """

    cursor: LogCursor
    events: Sequence[EventRecord]
    after: int
    serialized: list[bytes] = field(default_factory=list, compare=False)


@frozen
class TailTrimmed:
    """Of the events between ``first`` and ``last`` the caller misses some: transient ones swept before it came, changes
    that can't be shown here. The cursor has not moved."""

    cursor: LogCursor
    first: int
    last: int


@frozen
class TailCaughtUp:
    cursor: LogCursor


@frozen
class TailHeartbeat:
    cursor: LogCursor
    latest: int


@frozen
class TailEnded:
    cursor: LogCursor
    final: int
    reason: EndReason


TailFrame = TailStarted | TailBatch | TailTrimmed | TailCaughtUp | TailHeartbeat | TailEnded


@frozen
class EventQuery:
    """Which page of which log: up to ``limit`` events after ``after``."""

    request_id: str = ""
    session_id: str = ""
    after: int = 0
    limit: int = 1
    filter: EventFilter = EVERYTHING


@frozen
class EventList:
    events: Sequence[EventRecord]
    cursor: LogCursor
    end_of_log: bool
