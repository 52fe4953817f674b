"""Each kind of failure has its exit code."""

from __future__ import annotations

import pytest

from flowstate_client import (
    DeadlineExceeded,
    FlowStateError,
    InvalidJson,
    PermissionDenied,
    RateLimited,
    SchemaViolation,
    SessionNotFound,
    TimeoutError,
    Unavailable,
    ValidationFailed,
)
from flowstate_server.cli import problem
from flowstate_server.cli.client_problem import code_of


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (PermissionDenied, problem.FAILED),
        (ValidationFailed, problem.MISUSED),
        (SchemaViolation, problem.MISUSED),
        (InvalidJson, problem.MISUSED),
        (Unavailable, problem.UNREACHABLE),
        (RateLimited, problem.UNREACHABLE),
        (SessionNotFound, problem.NOT_FOUND),
        (TimeoutError, problem.TIMED_OUT),
        (DeadlineExceeded, problem.TIMED_OUT),
    ],
)
def test_what_the_client_raises_has_a_code(kind: type[FlowStateError], code: int) -> None:
    assert code_of(kind.__new__(kind)) == code
