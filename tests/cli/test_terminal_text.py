from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flowstate_server.cli.terminal_text import (
    brief,
    json_lines,
    named,
    plain,
    plain_lines,
    seconds_between,
    short_time,
)


def test_what_a_terminal_obeys_is_escaped() -> None:
    assert plain("a\x1b[2J\n\u202eb\u2028\x85") == "a\\u001b[2J\\n\\u202eb\\u2028\\u0085"
    assert plain_lines("a\r\nb\x07") == "a\\r\nb\\u0007"
    assert json_lines({"é": "\x1b\u009b"}) == '{\n  "é": "\\u001b\\u009b"\n}'


def test_of_a_long_list_its_end_is_told() -> None:
    tasks = [{"id": number, "title": "buy milk"} for number in range(3)]
    assert named("/tasks", tasks) == '/tasks: 3 entries, last {"id": 2, "title": "buy milk"}'
    assert brief(tasks) == '3 entries, last {"id": 2, "title": "buy milk"}'
    assert named("/tags", ["a", "b"]) == '/tags=["a", "b"]'
    assert named("/tasks", tasks[:1]) == '/tasks=[{"id": 0, "title": "buy milk"}]'
    assert brief({"tasks": "\x1b"}) == '{"tasks": "\\u001b"}'
    assert named("\x1b", ["\x1b" * 40, "\x85"]) == '\\u001b: 2 entries, last "\\u0085"'


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.254, "0.25 s"), (12.3, "12 s"), (185, "3 min 5 s"), (119.6, "2 min 0 s")]
)
def test_how_long_it_took(seconds: float, words: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert seconds_between(start, start + timedelta(seconds=seconds)) == words
    assert seconds_between(start, None) == "-"


def test_times_are_short_and_as_wide_as_each_other() -> None:
    now, old = datetime.now(UTC), datetime(2001, 2, 3, 12, tzinfo=UTC)
    assert short_time(now) == f"{now.astimezone():%b %d %H:%M}"
    assert short_time(old) == "Feb 03  2001"
    assert len(short_time(now)) == len(short_time(old))
