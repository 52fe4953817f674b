"""What runs emit waits the longer the longer its commits take, within bounds."""

from __future__ import annotations

from flowstate_server.engine.runs.flush_pace import FlushPace
from flowstate_server.engine.settings import EngineSettings

SETTINGS = EngineSettings()


def delay(pace: FlushPace, followers: int = 1, now: float = 0.001) -> float:
    return pace.delay(followers, now)


def test_it_is_quick_while_commits_are() -> None:
    pace = FlushPace(SETTINGS)
    assert delay(pace) == SETTINGS.flush_after
    for _ in range(1_000):
        pace.took(0.0019)
    assert delay(pace) == SETTINGS.flush_after


def test_it_grows_with_what_commits_take_and_shrinks_again() -> None:
    pace = FlushPace(SETTINGS)
    for _ in range(1_000):
        pace.took(0.01)
    assert 0.09 < delay(pace) <= 0.1
    for _ in range(1_000):
        pace.took(0.001)
    assert delay(pace) == SETTINGS.flush_after


def test_one_commit_that_takes_long_changes_little() -> None:
    pace = FlushPace(SETTINGS)
    for _ in range(1_000):
        pace.took(0.003)
    before = delay(pace)
    pace.took(0.1)
    assert delay(pace) < before + 0.03


def test_it_never_waits_longer_than_a_reader_bears() -> None:
    pace = FlushPace(SETTINGS)
    pace.took(60)
    assert SETTINGS.max_flush_after - 0.01 < delay(pace) <= SETTINGS.max_flush_after
    assert delay(pace, followers=1_000_000) == delay(pace)


def test_runs_that_wait_for_long_go_on_together() -> None:
    pace = FlushPace(SETTINGS)
    for _ in range(1_000):
        pace.took(0.01)
    moments = {round(now + delay(pace, now=now), 6) for now in (5.001, 5.003, 5.008, 5.009)}
    assert moments == {5.10}


def test_it_is_slower_for_many_who_follow() -> None:
    pace = FlushPace(SETTINGS)
    assert delay(pace, followers=100) == SETTINGS.flush_after
    assert 0.09 < delay(pace, followers=1_000) <= 0.1
