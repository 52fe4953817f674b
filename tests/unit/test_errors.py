"""What errors say in the cases where a template would say nonsense, and where they are had from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowstate_server import errors
from flowstate_server.errors import (
    EventsCompactedError,
    FlowStateError,
    ServiceError,
    SessionAlreadyExistsError,
    VersionMismatchError,
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (VersionMismatchError("user", "7", 8), "The user state is at version 8, the call expects 7."),
        (VersionMismatchError("user", "exists", 8), "There is no user state, and the call expects one."),
        (
            VersionMismatchError("org", "absent", 8),
            "The org state exists, at version 8, and the call expects none.",
        ),
        (
            VersionMismatchError("user", "another incarnation", 8),
            "The user state that the call expects was deleted; the newest version is 8.",
        ),
        (
            VersionMismatchError("session metadata", "1", 2, "session metadata"),
            "The session metadata is at version 2, the call expects 1.",
        ),
        (
            VersionMismatchError("user", "exists", 0, "user resource"),
            "There is no user resource, and the call expects one.",
        ),
        (
            EventsCompactedError(4, 8),
            "Events after the cursor were removed: the log can be read from 4 on, up to 8.",
        ),
        (EventsCompactedError(9, 8), "All events of the log, up to 8, were removed."),
        (SessionAlreadyExistsError("s1"), "A session s1 exists."),
        (
            SessionAlreadyExistsError("s1", resolved=True),
            "Another session is resolved by this metadata: s1.",
        ),
        (
            SessionAlreadyExistsError("", resolved=True),
            "Another session is resolved by this metadata.",
        ),
    ],
)
def test_what_it_says(error: ServiceError, text: str) -> None:
    assert str(error) == text


def below(kind: type[FlowStateError]) -> Iterator[type[FlowStateError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from below(child)


def test_the_package_has_every_error_that_says_it_is_from_there() -> None:
    ours = {kind for kind in below(FlowStateError) if kind.__module__ == "flowstate_server.errors"}
    assert {getattr(errors, kind.__name__, None) for kind in ours} == ours
    assert {kind.__name__ for kind in ours} <= set(errors.__all__)


def test_an_error_of_somebody_else_keeps_its_module() -> None:
    class TheirError(FlowStateError):
        """Theirs."""

    assert TheirError.__module__ == __name__
