"""What the client raises, as an exit code and in words of the command line."""

from __future__ import annotations

from flowstate_client import (
    ActionNotFound,
    DeadlineExceeded,
    FlowNotFound,
    FlowStateError,
    NotFound,
    RateLimited,
    RequestNotFound,
    SessionNotFound,
    TimeoutError,
    Unavailable,
)
from flowstate_client.error_reasons import NEEDS_TRUSTED, NO_TOKEN, NO_USER
from flowstate_server.cli.problem import FAILED, NOT_FOUND, TIMED_OUT, UNREACHABLE

_CODES: tuple[tuple[type[FlowStateError], int], ...] = (
    (TimeoutError, TIMED_OUT),
    (DeadlineExceeded, TIMED_OUT),
    (NotFound, NOT_FOUND),
    (Unavailable, UNREACHABLE),
    (RateLimited, UNREACHABLE),
)


def code_of(error: FlowStateError) -> int:
    """The exit code of a command that ``error`` ended."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


_HINTS = {
    NO_USER: "give --user: the token stands for no user, or the server asks for no tokens",
    NO_TOKEN: "give --token or FLOWSTATE_TOKEN",
    NEEDS_TRUSTED: "give --trusted, or the token of a service where the server asks for tokens",
}


_WAYS_OUT: tuple[tuple[type[FlowStateError], str], ...] = (
    (FlowNotFound, "; see flowstate flows"),
    (ActionNotFound, "; see flowstate flows FLOW"),
    (SessionNotFound, "; see flowstate sessions list"),
    (RequestNotFound, "; see flowstate requests list"),
)


def words_of(error: FlowStateError) -> str:
    """What the client says of ``error``, with options of the command line where it names arguments in Python."""
    text = str(error)
    for hint, words in _HINTS.items():
        text = text.replace(hint, words)
    return text + next((way for kind, way in _WAYS_OUT if isinstance(error, kind)), "")
