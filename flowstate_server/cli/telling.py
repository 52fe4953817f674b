"""What commands tell on stdout."""

from __future__ import annotations

import re
import sys
from typing import IO, Any

import orjson
from rich.console import Console

from flowstate_server.cli.terminal_text import plain_lines

# JSON has them as they are; to a terminal they are commands, and to some readers of lines the end of one.
_AT_LARGE = re.compile("[\x7f-\x9f\u2028\u2029]")


def on_terminal(stream: IO[str] | None = None) -> bool:
    """Whether somebody reads ``stream``, by default stdout, on a terminal.

    Not what rich says: to that a pipe is one, too, where FORCE_COLOR is set, as it is by many CI services.
    """
    return (stream or sys.stdout).isatty()


def say(told: object, words: str) -> None:
    """A line of ``words`` for people on a terminal, of JSON in a pipe."""
    if on_terminal():
        Console(highlight=False, soft_wrap=True).print(plain_lines(words), markup=False)
    else:
        say_json(told)


def say_json(told: object) -> None:
    """A line of JSON: dataclasses by their fields, times as RFC 3339 has them."""
    print(json_line(told), flush=True)


def json_line(told: object) -> str:
    """As :func:`say_json` says it."""
    text = orjson.dumps(told, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    return _AT_LARGE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset | set):
        return sorted(value)
    return value.hex() if isinstance(value, bytes) else dict(value)
