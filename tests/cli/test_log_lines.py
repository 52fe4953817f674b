from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from flowstate_server.cli.log_lines import JsonLines, TextLines
from flowstate_server.log_context import LogIds, about
from tests.cli.flowstate_command import flowstate


@dataclass
class Somebody:
    ids: Mapping[str, str] = field(default_factory=lambda: {"request_id": "r1", "tenant": "acme"})

    def log_ids(self) -> Mapping[str, str]:
        return self.ids


class Unprintable:
    def __str__(self) -> str:
        raise SystemExit("no text")

    __repr__ = __str__


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")

    __repr__ = __str__


def record(message: Any = "hello", *arguments: Any, exc_info: Any = None, **extra: Any) -> logging.LogRecord:
    made = logging.getLogger("x").makeRecord(
        "author", logging.INFO, "", 0, message, arguments, exc_info, extra=extra
    )
    with about(Somebody()):
        assert LogIds().filter(made)
    return made


def told(*arguments: Any, **more: Any) -> dict[str, Any]:
    line = JsonLines().format(record(*arguments, **more))
    assert line.isascii()
    assert line.isprintable()  # hence without a break

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    found: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return found


def raised(error: BaseException) -> Any:
    try:
        raise error
    except BaseException:
        return sys.exc_info()


def test_a_line_of_json_has_its_time_level_logger_message_ids_and_fields() -> None:
    made = record("tea for %d", 2, article="tea", nested={"a": [1, None]})
    made.created = datetime(2026, 11, 28, 9, 8, 7, 250_000, UTC).timestamp()
    assert json.loads(JsonLines().format(made)) == {
        "time": "2026-11-28T09:08:07.250000Z",
        "level": "info",
        "logger": "author",
        "message": "tea for 2",
        "request_id": "r1",
        "tenant": "acme",
        "article": "tea",
        "nested": {"a": [1, None]},
    }


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        {1, 2},
        b"\xff",
        object(),
        {(1, 2): 3},
        CYCLE,
        "\ud800",
        "\u2028\n\r\x00",
        10**5000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_json_becomes_text(value: Any) -> None:
    assert told(value=value)["value"]


def test_what_can_not_be_printed_breaks_no_line() -> None:
    assert "can't be printed" in told(value=Unprintable())["value"]
    assert "can't be printed" in told(value=[Unprintable()])["value"][0]
    assert "could not be put in" in told("%s", Unprintable())["message"]
    assert told("%d and %d", "x")["message"].startswith("%d and %d [")
    assert "could not be put in" in told(Unprintable())["message"]
    assert "UnprintableError" in told(exc_info=raised(UnprintableError()))["exception"]
    for made in (record("%s", Unprintable()), record(exc_info=raised(UnprintableError()))):
        assert "request=r1" in TextLines().format(made)


def test_a_field_never_takes_the_place_of_another() -> None:
    line = told(time="noon", level=3, request_id="r9", session_id="s9", exception="none")
    assert (line["request_id"], line["level"], line["extra_level"]) == ("r1", "info", 3)
    assert line["extra_time"] == "noon"
    assert line["session_id"] == "s9"  # where nothing is known the line's own word counts


def test_a_line_without_a_subject_keeps_the_ids_that_it_brings() -> None:
    made = logging.makeLogRecord({"msg": "m", "request_id": "r3"})
    LogIds().filter(made)
    assert (vars(made)["request_id"], vars(made)["session_id"]) == ("r3", "")


BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


@pytest.mark.parametrize("character", [*BREAKS, "\x1b", "\x00", "\x9b", "\u202e"])
def test_text_can_not_forge_another_line(character: str) -> None:
    forged = f"x{character}2026-01-01 00:00:00,000 INFO author: hello request=r9"
    (line,) = TextLines().format(record(forged)).splitlines()
    assert line.endswith(" request=r1 tenant=acme")
    assert character not in line
    first, *others = TextLines().format(record(exc_info=raised(ValueError(forged)))).splitlines()
    assert first.endswith(" request=r1 tenant=acme")
    assert all(other.startswith("  ") for other in others)
    assert character == "\n" or character not in "".join(others)


def test_an_id_can_not_look_like_several() -> None:
    made = record()
    vars(made)["request_id"] = 'r1 session="s9"\n'
    assert TextLines().format(made).endswith(r' request="r1 session=\"s9\"\n" tenant=acme')


def test_a_traceback_follows_the_ids_of_its_line() -> None:
    first, second, *_ = TextLines().format(record(exc_info=raised(ValueError("no")))).splitlines()
    assert first.endswith("hello request=r1 tenant=acme")
    assert second == "  Traceback (most recent call last):"


def test_an_unknown_format_is_refused() -> None:
    done = flowstate("serve", "examples.chat:flowstate", "--log-format", "xml")
    assert done.code == 2
    assert "text" in done.stderr
