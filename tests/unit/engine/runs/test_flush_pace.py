"""What runs emit waits the longer the longer its commits take, within bounds."""

from __future__ import annotations

import pytest

from flowstate_server.engine.runs.flush_pace import FlushPace
from flowstate_server.engine.settings import EngineSettings

SETTINGS = EngineSettings()


def test_it_is_quick_while_commits_are() -> None:
    pace = FlushPace(SETTINGS)
    assert pace.delay == SETTINGS.flush_after
    for _ in range(1_000):
        pace.took(0.0019)
    assert pace.delay == SETTINGS.flush_after


def test_it_grows_with_what_commits_take_and_shrinks_again() -> None:
    pace = FlushPace(SETTINGS)
    for _ in range(1_000):
        pace.took(0.01)
    assert pace.delay == pytest.approx(0.1, rel=0.01)
    for _ in range(1_000):
        pace.took(0.001)
    assert pace.delay == SETTINGS.flush_after


def test_one_commit_that_takes_long_changes_little() -> None:
    pace = FlushPace(SETTINGS)
    for _ in range(1_000):
        pace.took(0.003)
    pace.took(0.1)
    assert pace.delay == pytest.approx(0.03 + 1 / 64, rel=0.05)


def test_it_never_waits_longer_than_a_reader_bears() -> None:
    pace = FlushPace(SETTINGS)
    pace.took(60)
    assert pace.delay == SETTINGS.max_flush_after
