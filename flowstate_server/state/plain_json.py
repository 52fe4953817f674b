"""Python values as the JSON that is stored. What is not made of JSON's types is left to who knows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import NoReturn

from flowstate_server.errors import JsonInvalidError, JsonLimitError, JsonNumberError
from flowstate_server.model.json_values import Json
from flowstate_server.state.json_limits import (
    INTEGER_OUTSIDE,
    KEY_TOO_LONG,
    LONE_SURROGATE,
    MAX_DEPTH,
    MAX_INT,
    MAX_KEY_BYTES,
    MIN_INT,
    NOT_FINITE,
    TOO_DEEP,
    is_text,
)
from flowstate_server.state.json_pointer import format_pointer

ToJson = Callable[[object, str], Json]
"""Makes JSON of a value; refusals name places below the given path."""

Simplify = Callable[[object], object]
"""Makes something simpler of a value of no JSON type, or raises :class:`Refused`."""


class Refused(Exception):
    """Carries a refusal up through the containers, each of which adds its step."""

    def __init__(self, kind: type[JsonInvalidError | JsonLimitError | JsonNumberError], problem: str) -> None:
        self.kind = kind
        self.problem = problem
        self.steps: list[str] = []


def refuse(value: object) -> NoReturn:
    raise Refused(JsonInvalidError, f"a value of type {type(value).__qualname__} is not JSON")


def plain_json(value: object, path: str, simplify: Simplify = refuse) -> Json:
    """``value`` as a fresh JSON tree: JSON's types and their subclasses, tuples, mappings, enums of such values, and
    what ``simplify`` makes such values of.

    Raises:
        JsonInvalidError: sets, bytes, keys that are no strings, instances of other classes, all named by their type;
            lone surrogates.
        JsonLimitError: too deep (also what contains itself), or a key too long.
        JsonNumberError: NaN, infinity, an integer outside int64.
    """
    try:
        return _convert(value, MAX_DEPTH, simplify)
    except Refused as refused:
        refused.steps.reverse()
        raise refused.kind(path + format_pointer(refused.steps), refused.problem) from None


def _convert(value: object, levels: int, simplify: Simplify) -> Json:
    kind = type(value)
    if kind is str:
        if not value.isascii() and not is_text(value):  # type: ignore[attr-defined, arg-type]
            raise Refused(JsonInvalidError, LONE_SURROGATE)
        return value  # type: ignore[return-value]
    if value is None or kind is bool:
        return value  # type: ignore[return-value]
    if kind is int:
        if not MIN_INT <= value <= MAX_INT:  # type: ignore[operator]
            raise Refused(JsonNumberError, INTEGER_OUTSIDE)
        return value  # type: ignore[return-value]
    if kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]
            raise Refused(JsonNumberError, NOT_FINITE)
        return value  # type: ignore[return-value]
    if kind is dict:
        return _object(value, levels, simplify)  # type: ignore[arg-type]
    if kind is list or kind is tuple:
        return _list(value, levels, simplify)  # type: ignore[arg-type]
    return _convert_other(value, levels, simplify)


def _object(value: Mapping[object, object], levels: int, simplify: Simplify) -> Json:
    if not levels:
        raise Refused(JsonLimitError, TOO_DEEP)
    result: dict[str, Json] = {}
    for key, item in value.items():
        name = key if type(key) is str else _key(key)
        if not (name.isascii() and len(name) <= MAX_KEY_BYTES):
            _check_key(name)
        try:
            result[name] = _convert(item, levels - 1, simplify)
        except Refused as refused:
            refused.steps.append(name)
            raise
    return result


def _list(value: list[object] | tuple[object, ...], levels: int, simplify: Simplify) -> Json:
    if not levels:
        raise Refused(JsonLimitError, TOO_DEEP)
    result: list[Json] = []
    try:
        for item in value:
            result.append(_convert(item, levels - 1, simplify))  # noqa: PERF401 - the length is the place of a refusal
    except Refused as refused:
        refused.steps.append(str(len(result)))
        raise
    return result


def _key(key: object) -> str:
    if isinstance(key, Enum) and isinstance(key.value, str):
        return str.__str__(key.value)
    if isinstance(key, str):
        return str.__str__(key)
    more = (
        "; a field with keys of bytes takes UTF-8 alone: give their hex()" if isinstance(key, bytes) else ""
    )
    raise Refused(JsonInvalidError, f"a key must be a string, not {type(key).__qualname__}{more}")


def _check_key(name: str) -> None:
    if not is_text(name):
        raise Refused(JsonInvalidError, LONE_SURROGATE)
    if len(name.encode()) > MAX_KEY_BYTES:
        raise Refused(JsonLimitError, KEY_TOO_LONG)


def _convert_other(value: object, levels: int, simplify: Simplify) -> Json:
    """What is not exactly one of the JSON types."""
    if isinstance(value, Enum):
        return _convert(value.value, levels, simplify)
    if isinstance(value, str):
        return _convert(str.__str__(value), levels, simplify)
    if isinstance(value, int):
        return _convert(int(value), levels, simplify)
    if isinstance(value, float):
        return _convert(float(value), levels, simplify)
    if isinstance(value, list | tuple):
        return _list(value, levels, simplify)
    if isinstance(value, Mapping):
        return _object(value, levels, simplify)
    return _convert(simplify(value), levels, simplify)
