"""Values that flow authors hand over, as the JSON that is stored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from typing import Any, NoReturn, cast
from uuid import UUID

from pydantic import AnyUrl, BaseModel
from pydantic_core import MultiHostUrl, Url, to_jsonable_python

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

# What pydantic writes as one JSON scalar without losing it. A SecretStr is not here: its JSON form is asterisks.
_SCALARS = (
    date,
    time,
    timedelta,
    UUID,
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    AnyUrl,
    Url,
    MultiHostUrl,
)
_OWN_JSON = "__flowstate_json__"
"""The attribute by which a value brings its JSON along: a callable without arguments."""


class _Refused(Exception):
    """Carries a refusal up through the containers, each of which adds its step."""

    def __init__(self, kind: type[JsonInvalidError | JsonLimitError | JsonNumberError], problem: str) -> None:
        self.kind = kind
        self.problem = problem
        self.steps: list[str] = []


def to_json(value: object, path: str) -> Json:
    """``value`` as a fresh JSON tree: plain values, tuples, mappings, and what pydantic has a JSON form for (models,
    dataclasses, enums, dates and times, UUIDs, Decimals, URLs, file paths, IP addresses).

    Raises:
        JsonInvalidError: sets, bytes, keys that are no strings, instances of other classes, all named by their type;
            lone surrogates.
        JsonLimitError: too deep (also what contains itself), or a key too long.
        JsonNumberError: NaN, infinity, an integer outside int64.
    """
    try:
        return _convert(value, MAX_DEPTH)
    except _Refused as refused:
        refused.steps.reverse()
        raise refused.kind(path + format_pointer(refused.steps), refused.problem) from None


def _convert(value: object, levels: int) -> Json:
    kind = type(value)
    if kind is str:
        if not value.isascii() and not is_text(value):  # type: ignore[attr-defined, arg-type]
            raise _Refused(JsonInvalidError, LONE_SURROGATE)
        return value  # type: ignore[return-value]
    if value is None or kind is bool:
        return value  # type: ignore[return-value]
    if kind is int:
        if not MIN_INT <= value <= MAX_INT:  # type: ignore[operator]
            raise _Refused(JsonNumberError, INTEGER_OUTSIDE)
        return value  # type: ignore[return-value]
    if kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]
            raise _Refused(JsonNumberError, NOT_FINITE)
        return value  # type: ignore[return-value]
    if kind is dict:
        return _object(value, levels)  # type: ignore[arg-type]
    if kind is list or kind is tuple:
        return _list(value, levels)  # type: ignore[arg-type]
    return _convert_other(value, levels)


def _object(value: Mapping[object, object], levels: int) -> Json:
    if not levels:
        raise _Refused(JsonLimitError, TOO_DEEP)
    result: dict[str, Json] = {}
    for key, item in value.items():
        name = key if type(key) is str else _key(key)
        if not (name.isascii() and len(name) <= MAX_KEY_BYTES):
            _check_key(name)
        try:
            result[name] = _convert(item, levels - 1)
        except _Refused as refused:
            refused.steps.append(name)
            raise
    return result


def _list(value: list[object] | tuple[object, ...], levels: int) -> Json:
    if not levels:
        raise _Refused(JsonLimitError, TOO_DEEP)
    result: list[Json] = []
    try:
        for item in value:
            result.append(_convert(item, levels - 1))  # noqa: PERF401 - the length is the place of a refusal
    except _Refused as refused:
        refused.steps.append(str(len(result)))
        raise
    return result


def _key(key: object) -> str:
    if isinstance(key, Enum) and isinstance(key.value, str):
        return str.__str__(key.value)
    if isinstance(key, str):
        return str.__str__(key)
    raise _Refused(JsonInvalidError, f"a key must be a string, not {type(key).__qualname__}")


def _check_key(name: str) -> None:
    if not is_text(name):
        raise _Refused(JsonInvalidError, LONE_SURROGATE)
    if len(name.encode()) > MAX_KEY_BYTES:
        raise _Refused(JsonLimitError, KEY_TOO_LONG)


def _convert_other(value: object, levels: int) -> Json:
    """What is not exactly one of the JSON types."""
    if isinstance(value, Enum):
        return _convert(value.value, levels)
    if isinstance(value, str):
        return _convert(str.__str__(value), levels)
    if isinstance(value, int):
        return _convert(int(value), levels)
    if isinstance(value, float):
        return _convert(float(value), levels)
    if isinstance(value, list | tuple):
        return _list(value, levels)
    if isinstance(value, Mapping):
        return _object(value, levels)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise _Refused(JsonNumberError, NOT_FINITE)
        return str(value)
    if isinstance(value, PurePath):
        return _convert(str(value), levels)
    if isinstance(value, _SCALARS):
        return _convert(to_jsonable_python(value), levels)
    if hasattr(type(value), _OWN_JSON):
        return _convert(getattr(value, _OWN_JSON)(), levels)
    return _convert_fields(value, levels)


def _convert_fields(value: object, levels: int) -> Json:
    """Models and dataclasses. Other classes have serializers too, and some of those lose the value (SecretStr)."""
    if isinstance(value, type) or not (isinstance(value, BaseModel) or dataclasses.is_dataclass(value)):
        _refuse(type(value))
    serializer = getattr(type(value), "__pydantic_serializer__", None)
    if serializer is not None:
        try:
            dumped = serializer.to_python(value, mode="json", by_alias=False, round_trip=True, warnings=False)
        except ValueError:  # pydantic's own kind is one; its text may hold the value
            raise _Refused(JsonInvalidError, f"this {type(value).__qualname__} has no JSON form") from None
        if _holds_null(dumped):  # of what is not finite in an untyped field pydantic makes null
            _require_finite(serializer.to_python(value, by_alias=False, round_trip=True, warnings=False))
        return _convert(dumped, levels)
    names = [field.name for field in dataclasses.fields(cast(Any, value))]
    return _object({name: getattr(value, name) for name in names}, levels)


def _holds_null(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_null, value.values()))
    return value is None or (isinstance(value, list) and any(map(_holds_null, value)))


def _require_finite(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise _Refused(JsonNumberError, NOT_FINITE)
    members: Mapping[str, object] = {}
    if isinstance(value, Mapping):
        members = {str(key): item for key, item in value.items()}
    elif isinstance(value, list | tuple):
        members = {str(place): item for place, item in enumerate(value)}
    for step, item in members.items():
        try:
            _require_finite(item)
        except _Refused as refused:
            refused.steps.append(step)
            raise


def _refuse(kind: type) -> NoReturn:
    raise _Refused(JsonInvalidError, f"a value of type {kind.__qualname__} is not JSON")
