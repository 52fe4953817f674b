"""What commands tell on stdout."""

from __future__ import annotations

import sys
from typing import Any

import orjson
from rich.console import Console


def on_terminal() -> bool:
    """Whether somebody reads stdout on a terminal."""
    return sys.stdout.isatty()


def say(told: object, words: str) -> None:
    """A line of ``words`` for people on a terminal, of JSON in a pipe."""
    if on_terminal():
        Console(highlight=False, soft_wrap=True).print(words, markup=False)
    else:
        say_json(told)


def say_json(told: object) -> None:
    """A line of JSON: dataclasses by their fields, times as RFC 3339 has them."""
    print(orjson.dumps(told, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode(), flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset | set):
        return sorted(value)
    return value.hex() if isinstance(value, bytes) else dict(value)
