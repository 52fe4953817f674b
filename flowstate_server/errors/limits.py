"""How much may be asked for, kept and left waiting."""

from __future__ import annotations

from flowstate_server.errors.kinds import ServiceError
from flowstate_server.errors.reasons import Reason


class RateLimitedError(ServiceError):
    """More than {limit} calls at once."""

    reason = Reason.RATE_LIMITED
    limit: int


class TooManyStreamsError(ServiceError):
    """More than {limit} open streams."""

    reason = Reason.TOO_MANY_STREAMS
    limit: int


class MessageTooLargeError(ServiceError):
    """{what} has {size} bytes; the limit is {limit}."""

    reason = Reason.MESSAGE_TOO_LARGE
    what: str
    size: int
    limit: int


class StateTooLargeError(ServiceError):
    """The state of the {scope} would have {size} bytes; the limit is {limit}.

    ``resource``: the name or pattern under which one of the scope's resources is declared; empty for the state of the
    scope itself.
    """

    reason = Reason.STATE_TOO_LARGE
    scope: str
    size: int
    limit: int
    resource: str = ""

    def __str__(self) -> str:
        named = f'the {self.scope} resource "{self.resource}"' if self.resource else f"the {self.scope}"
        return f"The state of {named} would have {self.size} bytes; the limit is {self.limit}."


class TooManyResourcesError(ServiceError):
    """More than {limit} {scope} resources {of_what}.

    ``of_what``: ``of one owner``, or the collection, quoted.
    """

    reason = Reason.TOO_MANY_RESOURCES
    scope: str
    limit: int
    of_what: str


class QueueFullError(ServiceError):
    """The queue is full: {waiting} waiting, the limit is {limit}."""

    reason = Reason.QUEUE_FULL
    waiting: int
    limit: int
