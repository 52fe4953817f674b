"""What commands tell on stdout."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import orjson
from rich.console import Console


def say(told: Mapping[str, object], words: str) -> None:
    """A line of ``words`` for people on a terminal, of JSON in a pipe."""
    if sys.stdout.isatty():
        Console(highlight=False, soft_wrap=True).print(words, markup=False)
    else:
        print(orjson.dumps(told).decode(), flush=True)
