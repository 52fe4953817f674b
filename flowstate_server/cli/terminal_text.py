"""Values as text for people on a terminal: nothing in it can move the cursor or be taken for an end of line."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# Columns: about what is left of 80 behind whose value it is. Chosen.
_LONGEST_LIST = 40
_INSIDE_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """``text`` on one line, without quotes; characters that a terminal obeys are escaped."""
    return _CONTROLS.sub(_escape, text)


def plain_lines(text: str) -> str:
    """``text`` with its line breaks; other characters that a terminal obeys are escaped."""
    return _INSIDE_LINES.sub(_escape, text)


def quoted(value: Any) -> str:
    """``value`` as JSON on one line. JSON escapes only a part of the characters that a terminal obeys."""
    return plain(json.dumps(value, ensure_ascii=False))


def named(name: str, value: Any) -> str:
    """``name=value`` on one line. Of a long list, which a terminal would cut, its length and its last element, for
    lists grow at their end: ``name: 3 entries, last {"id": 3}``."""
    return plain(f"{name}: {_end_of(value)}" if _is_long_list(value) else f"{name}={quoted(value)}")


def brief(value: Any) -> str:
    """The value as in :func:`named`."""
    return plain(_end_of(value)) if _is_long_list(value) else quoted(value)


def _is_long_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and len(quoted(value)) > _LONGEST_LIST


def _end_of(value: list[Any]) -> str:
    return f"{len(value)} entries, last {quoted(value[-1])}"


def json_lines(value: Any) -> str:
    """``value`` as JSON for reading, over several lines where it is no scalar."""
    return plain_lines(json.dumps(value, ensure_ascii=False, indent=2))


def short_time(time: datetime | None) -> str:
    """Local, to the minute: ``Nov 29 14:02``; with its year if it is not of this one: ``Dec 31  2025``."""
    if time is None:
        return "-"
    local = time.astimezone()
    this_year = local.year == datetime.now().astimezone().year
    return f"{local:%b %d %H:%M}" if this_year else f"{local:%b %d  %Y}"


def seconds_between(start: datetime | None, end: datetime | None) -> str:
    """``0.25 s``, ``12 s``, ``3 min 5 s``; ``-`` where one of them is not known."""
    if start is None or end is None:
        return "-"
    seconds = (end - start).total_seconds()
    if seconds < 10:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _escape(found: re.Match[str]) -> str:
    return _NAMED.get(found.group(), f"\\u{ord(found.group()):04x}")


_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
