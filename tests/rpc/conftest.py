"""Every test here runs against a real server whose access log can be awaited."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.access_records import AccessRecords, recorded_access


@pytest.fixture
def access() -> Iterator[AccessRecords]:
    with recorded_access() as records:
        yield records


@pytest.fixture(autouse=True)
def _grpc_is_quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing gets past the envelope to where grpc would log it.

    Let through: grpc's poller, which all loops of a process share, may hear of a call of an earlier test last.
    """
    yield
    strays = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.WARNING and record.name.startswith(("grpc", "asyncio"))
    ]
    assert not [stray for stray in strays if "PollerCompletionQueue._handle_events" not in stray]
