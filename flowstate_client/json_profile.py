"""What may be sent: JSON in FlowState's profile, checked before it leaves. And reading what comes back.

int64 integers and finite doubles (which stay apart), no lone surrogates, at most 64 levels, keys of at most 256 bytes.
Everything else is a ``ValueError`` that names the place by a JSON Pointer.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from re import Pattern
from typing import Any
from uuid import UUID

import orjson
from pydantic import AnyUrl, BaseModel
from pydantic_core import MultiHostUrl, Url, from_json, to_jsonable_python

from flowstate_client.dumping import (
    SECRETS,
    dumped,
    in_order,
    require_no_flags,
    secret_value,
    undumpable_member,
    unsettled_member,
)

# The server's limits (its ``state/json_limits.py``): what it would refuse is refused before it is sent.
MAX_DEPTH = 64
MAX_KEY_BYTES = 256
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_IP = (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)
_JSON_FORM = (
    *(datetime, date, time, timedelta, Decimal, UUID, PurePath, Pattern),
    *(*_IP, AnyUrl, Url, MultiHostUrl),
)
_KEYS = (*_JSON_FORM, bool, int, float)
_BYTES = (
    "bytes have no one JSON form: give their text (.decode(), or base64), or what declares them, a model "
    "(model= of a handle of state)"
)


def from_json_text(text: bytes | str) -> Any:
    """The plain value of JSON text, however it is laid out.

    Raises:
        ValueError: it is no JSON, and where.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as refusal:
        # It runs out of room for valid text that is dense and begins with a bracket, a line break and a blank.
        try:
            return from_json(text, allow_inf_nan=False)
        except ValueError:
            raise refusal from None


def to_json_value(value: Any) -> Any:
    """``value`` as plain JSON types, checked.

    Models and dataclasses take the JSON form that they are read from (no computed fields, secrets as what they wrap),
    dates, UUIDs, Decimals, URLs, addresses and the like pydantic's, which every field of their type reads; sets are
    lists in one order, keys are text. Other objects are refused, and so are bytes that no model declares: some fields
    have them as text, others in base64.

    Raises:
        ValueError: naming the place and the rule.
    """
    return _convert(value, "", 0)


def check_int64(value: int, place: str) -> int:
    """``value``, if it fits int64.

    Raises:
        ValueError: naming ``place``.
    """
    if not INT64_MIN <= value <= INT64_MAX:
        raise _refused(place, "the integer does not fit int64")
    return value


def check_finite(value: float, place: str) -> float:
    """``value``, if it is neither infinite nor NaN.

    Raises:
        ValueError: naming ``place``.
    """
    if not math.isfinite(value):
        raise _refused(place, "the number is not finite")
    return value


def check_text(value: str, place: str) -> str:
    """``value``, if it can be written as UTF-8.

    Raises:
        TypeError: it is no text; naming ``place``.
        ValueError: it can't; naming ``place``.
    """
    if not isinstance(value, str):
        raise TypeError(f"{place} must be text, not {type(value).__name__}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _refused(place, "the text has a lone surrogate") from None
    return value


def escape_pointer(key: str) -> str:
    """``key`` as one step of a JSON Pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def _convert(value: Any, path: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _convert(value.value, path, depth)
    if isinstance(value, str):
        return check_text(str(value), path)
    if isinstance(value, int):
        return check_int64(int(value), path)
    if isinstance(value, float):
        return check_finite(float(value), path)
    if isinstance(value, Mapping):
        _check_depth(depth, path)
        items = ((_key(key, path), item) for key, item in value.items())
        return {key: _convert(item, f"{path}/{escape_pointer(key)}", depth + 1) for key, item in items}
    if isinstance(value, (list, tuple, deque)):
        _check_depth(depth, path)
        return [_convert(item, f"{path}/{index}", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        _check_depth(depth, path)
        return in_order(_convert(item, path, depth + 1) for item in value)
    if isinstance(value, SECRETS):
        return _convert(secret_value(value), path, depth)
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return _convert(_dumped(value, path), path, depth)
    if isinstance(value, (bytes, bytearray)):
        raise _refused(path, _BYTES)
    if isinstance(value, _JSON_FORM):
        if isinstance(value, Decimal) and not value.is_finite():
            raise _refused(path, "the number is not finite")
        if isinstance(value, Pattern):
            _check_flags(value, path)
        return _convert(to_jsonable_python(value), path, depth)
    raise _refused(path, f"{type(value).__name__} is not a JSON value")


def _dumped(value: Any, path: str) -> Any:
    try:
        plain = dumped(value)
        name = unsettled_member(value, plain)
    except ValueError:  # pydantic's own kind is one; its text may hold the value
        name = undumpable_member(value)
        path = path if name is None else f"{path}/{escape_pointer(name)}"
        raise _refused(path, f"this {type(value).__name__} has no JSON form") from None
    if name is not None:
        raise _refused(f"{path}/{escape_pointer(name)}", _BYTES)
    return plain


def _check_flags(value: Pattern[Any], path: str) -> None:
    try:
        require_no_flags(value)
    except ValueError as refusal:
        raise _refused(path, str(refusal)) from None


def _key(key: Any, path: str) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, float):
        check_finite(key, path)
    if isinstance(key, bytes):
        raise _refused(path, f"a key: {_BYTES}")
    if isinstance(key, _KEYS):
        key = str(next(iter(to_jsonable_python({key: None}))))
    if not isinstance(key, str):
        raise _refused(path, f"a key is {type(key).__name__}, keys must be text")
    if len(check_text(key, path).encode()) > MAX_KEY_BYTES:
        raise _refused(path, f"a key is over {MAX_KEY_BYTES} bytes")
    return str(key)


def _check_depth(depth: int, path: str) -> None:
    if depth >= MAX_DEPTH:
        raise _refused(path, f"nested over {MAX_DEPTH} levels")


def _refused(path: str, problem: str) -> ValueError:
    return ValueError(f"{path or 'the value'}: {problem}")
