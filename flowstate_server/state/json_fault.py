"""Finding the place where JSON text breaks the profile. Slow and exact: it runs when text is refused or in doubt."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from flowstate_server.errors import JsonInvalidError, JsonLimitError, JsonNumberError
from flowstate_server.state.json_limits import (
    INTEGER_OUTSIDE,
    KEY_TOO_LONG,
    LONE_SURROGATE,
    MAX_DEPTH,
    MAX_INT,
    MAX_KEY_BYTES,
    MIN_INT,
    TOO_DEEP,
    is_text,
)
from flowstate_server.state.json_pointer import format_pointer

JsonRefusal = JsonInvalidError | JsonLimitError | JsonNumberError

# The lone quote is the start of a string that does not end. Possessive: a long text without an end stays linear.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?Infinity|NaN|-?[0-9][0-9.eE+-]*+|[{}\[\],:"]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken rule, the character position in the text and the steps from its root."""

    kind: type[JsonRefusal]
    rule: str
    position: int
    steps: tuple[str, ...]

    def error(self, path: str, text: str) -> JsonRefusal:
        line = text.count("\n", 0, self.position) + 1
        column = self.position - text.rfind("\n", 0, self.position)
        return self.kind(path + format_pointer(self.steps), f"{self.rule}, at line {line} column {column}")


@dataclass(slots=True)
class _Level:
    """An open container: ``step`` is the member being read, ``at_key`` says that an object's next string is a key."""

    is_object: bool
    step: str | int
    at_key: bool


def find_fault(text: str) -> Fault | None:
    """The first broken profile rule, or ``None`` if there is none before the end or the first syntax error.

    Syntax is the parser's business: this reads tokens, and stops where they make no sense to it.
    """
    levels: list[_Level] = []
    for match in _TOKEN.finditer(text):
        token, position = match[0], match.start()
        first = token[0]
        if first in "{[":
            if len(levels) == MAX_DEPTH:
                return Fault(JsonLimitError, TOO_DEEP, position, _steps(levels))
            levels.append(_Level(first == "{", "" if first == "{" else 0, first == "{"))
        elif first in "}]":
            if not levels:
                return None
            levels.pop()
        elif first == ",":
            if not levels:
                return None
            _next_member(levels[-1])
        elif first == '"':
            if len(token) == 1:
                return None
            try:
                fault = _string_fault(token, position, levels)
            except ValueError:
                return None
            if fault is not None:
                return fault
        elif first != ":":
            rule = _number_rule(token)
            if rule:
                return Fault(JsonNumberError, rule, position, _steps(levels))
    return None


def _steps(levels: list[_Level]) -> tuple[str, ...]:
    return tuple(str(level.step) for level in levels)


def _next_member(level: _Level) -> None:
    if isinstance(level.step, int):
        level.step += 1
    else:
        level.at_key = True


def _string_fault(token: str, position: int, levels: list[_Level]) -> Fault | None:
    value = json.loads(token) if "\\" in token else token[1:-1]
    is_key = bool(levels) and levels[-1].at_key
    steps = _steps(levels[:-1] if is_key else levels)
    if not is_text(value):
        return Fault(JsonInvalidError, LONE_SURROGATE, position, steps)
    if is_key:
        if len(value.encode()) > MAX_KEY_BYTES:
            return Fault(JsonLimitError, KEY_TOO_LONG, position, steps)
        levels[-1].step = value
        levels[-1].at_key = False
    return None


def _number_rule(token: str) -> str | None:
    if token[-1] in "yN":
        return "NaN and Infinity are not JSON numbers"
    if token.lstrip("-").isdigit():
        inside = len(token) <= 20 and MIN_INT <= int(token) <= MAX_INT
        return None if inside else INTEGER_OUTSIDE
    try:
        return None if math.isfinite(float(token)) else "a double beyond the largest finite one"
    except ValueError:
        return None
