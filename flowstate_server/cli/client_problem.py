"""What the client raises, as an exit code and in words of the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flowstate_client import (
    ActionNotFound,
    ApiError,
    DeadlineExceeded,
    FlowNotFound,
    FlowStateError,
    InvalidArgument,
    NotFound,
    RateLimited,
    RequestNotFound,
    SessionNotFound,
    TimeoutError,
    Unavailable,
)
from flowstate_client.error_reasons import NEEDS_TRUSTED, NO_TOKEN, NO_USER
from flowstate_server.cli.problem import FAILED, MISUSED, NOT_FOUND, TIMED_OUT, UNREACHABLE

_CODES: tuple[tuple[type[FlowStateError], int], ...] = (
    (TimeoutError, TIMED_OUT),
    (DeadlineExceeded, TIMED_OUT),
    (NotFound, NOT_FOUND),
    (InvalidArgument, MISUSED),
    (Unavailable, UNREACHABLE),
    (RateLimited, UNREACHABLE),
)


def code_of(error: FlowStateError) -> int:
    """The exit code of a command that ``error`` ended."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


# What was sent, by the metadata that it became.
_OPTIONS = {
    "x-flowstate-plane": "--trusted",
    "x-flowstate-user": "--user",
    "x-flowstate-org": "--org",
    "x-tenant-id": "--tenant",
}
_FIELDS = (
    (re.compile(r"^mutations\[0\] \((.+?)\): "), r"\1: "),
    (re.compile(r"(?<![\w.])paths\[\d+\]"), "--path"),
    (re.compile(r"^(user|org)_id names another"), r"--\1 names another"),
)
_NOT_THE_TOKENS = "is not what the credentials are for"
_FOR_CLIENTS_ONLY = "on the client plane only"

# More are not read. Chosen.
_MOST_HINTS = 2

_WAYS_OUT: tuple[tuple[type[FlowStateError], str], ...] = (
    (FlowNotFound, "see flowstate flows"),
    (SessionNotFound, "see flowstate sessions list"),
    (RequestNotFound, "see flowstate requests list"),
)


@dataclass(frozen=True)
class Words:
    """What is said of an error: a sentence for people, and what tells it from others."""

    sentence: str
    facts: str = ""


def words_of(error: FlowStateError, *, user: str = "", token: str = "", hint: str = "") -> Words:
    """What is said of ``error`` to somebody who gave this user and this token; ``hint`` is what the command knows about
    it beside that."""
    if not isinstance(error, ApiError):
        return Words(_joined(str(error), hint))
    hints = (_of_another(error, user, token), hint, _way_out(error, token))
    facts = [error.reason or error.code.name, error.method]
    facts += [f"correlation id {error.correlation_id}"] if error.correlation_id else []
    return Words(_joined(_sentence(error, token), *hints), ", ".join(fact for fact in facts if fact))


def _sentence(error: ApiError, token: str) -> str:
    if error.hint == NO_TOKEN:
        return "This token is not known to the server" if token else "No token was given"
    text = as_typed(error.message)
    for key, option in _OPTIONS.items():
        if text.lower().startswith(f"{key} {_NOT_THE_TOKENS}"):
            return f"{option} is not what the token is for"
    places = [(as_typed(v.field), v.description or v.reason) for v in error.field_violations[:3]]
    for place, _ in places:
        text = text.replace(place, place.removeprefix("spec."))
    more = [f"{place.removeprefix('spec.')}: {words}" for place, words in places if words not in text]
    text = text or "The server refused"
    return f"{text} [{'; '.join(more)}]" if more else text


def as_typed(text: str) -> str:
    """``text`` of server or client with options where the call had fields; a command sends one write at most."""
    for pattern, words in _FIELDS:
        text = pattern.sub(words, text)
    return text


def _way_out(error: ApiError, token: str) -> str:
    if error.hint == NO_TOKEN:
        return "" if token else "give --token or FLOWSTATE_TOKEN"
    if error.hint == NEEDS_TRUSTED or _FOR_CLIENTS_ONLY in error.message.lower():
        if token:
            return "this takes the token of a service"
        return "give --trusted, or the token of a service where the server asks for tokens"
    if error.hint == NO_USER:
        return "give --user: the token stands for no user, or the server asks for no tokens"
    if isinstance(error, ActionNotFound):
        return f"see flowstate flows {error.metadata.get('flow_kind', 'FLOW')}"
    return next((way for kind, way in _WAYS_OUT if isinstance(error, kind)), error.hint)


def _of_another(error: ApiError, user: str, token: str) -> str:
    # The server does not tell what is somebody else's from what was deleted, and must not.
    if not isinstance(error, SessionNotFound | RequestNotFound) or not (user or token):
        return ""
    return "perhaps another user's" if token else f"perhaps another user's (you call as {user}; see --user)"


def _joined(sentence: str, *hints: str) -> str:
    """``sentence`` and what to do about it, the most telling first, with one mark between them."""
    given = [hint for hint in hints if hint][:_MOST_HINTS]
    return "; ".join([sentence.rstrip(".") if given else sentence, *given])
