"""Logs of events, and the cursors and streams that read them."""

from __future__ import annotations

from flowstate_server.errors.kinds import InvalidArgumentError, PreconditionError, ServiceError
from flowstate_server.errors.reasons import Reason


class CursorInvalidError(InvalidArgumentError):
    """The cursor is not valid: {problem}."""

    reason = Reason.CURSOR_INVALID
    problem: str


class CursorLogMismatchError(PreconditionError):
    """The cursor belongs to another log than the current one."""

    reason = Reason.CURSOR_LOG_MISMATCH
    log_id: str


class CursorAheadError(ServiceError):
    """The cursor {sequence} lies beyond the end, which is {latest}."""

    reason = Reason.CURSOR_AHEAD
    sequence: int
    latest: int


class EventsCompactedError(ServiceError):
    """Events after the cursor were removed: the log can be read from {earliest} on, up to {latest}."""

    reason = Reason.EVENTS_COMPACTED
    earliest: int
    latest: int

    def __str__(self) -> str:
        if self.earliest > self.latest:
            return f"All events of the log, up to {self.latest}, were removed."
        return super().__str__()


class SlowConsumerError(ServiceError):
    """The stream was not read for {seconds} s; resume from cursor {sequence}."""

    reason = Reason.SLOW_CONSUMER
    seconds: int
    sequence: int
