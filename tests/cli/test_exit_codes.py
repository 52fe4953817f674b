"""Each kind of failure has its exit code, which the guide to the command line tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flowstate_client import (
    DeadlineExceeded,
    FlowStateError,
    PermissionDenied,
    RateLimited,
    SessionNotFound,
    TimeoutError,
    Unavailable,
)
from flowstate_server.cli import problem
from flowstate_server.cli.client_problem import code_of
from tests.cli.flowstate_command import CHECKOUT

GUIDE = CHECKOUT / "docs" / "guides" / "command-line-live.md"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (PermissionDenied, problem.FAILED),
        (Unavailable, problem.UNREACHABLE),
        (RateLimited, problem.UNREACHABLE),
        (SessionNotFound, problem.NOT_FOUND),
        (TimeoutError, problem.TIMED_OUT),
        (DeadlineExceeded, problem.TIMED_OUT),
    ],
)
def test_what_the_client_raises_has_a_code(kind: type[FlowStateError], code: int) -> None:
    assert code_of(kind.__new__(kind)) == code


def test_the_guide_tells_them_all() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", Path(GUIDE).read_text(), re.MULTILINE)}
    codes = {value for name, value in vars(problem).items() if name.isupper() and isinstance(value, int)}
    assert told == {0} | codes
