"""Values that flow authors hand over, as the JSON that is stored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from pydantic import AnyUrl, BaseModel
from pydantic_core import MultiHostUrl, Url, to_jsonable_python

from flowstate_server.errors import JsonInvalidError, JsonNumberError
from flowstate_server.model.json_values import Json
from flowstate_server.state.json_limits import NOT_FINITE
from flowstate_server.state.plain_json import Refused, plain_json, refuse

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


def to_json(value: object, path: str) -> Json:
    """``value`` as a fresh JSON tree: what :func:`plain_json` takes, and what pydantic has a JSON form for (models,
    dataclasses, dates and times, UUIDs, Decimals, URLs, file paths, IP addresses).

    Raises:
        JsonInvalidError, JsonLimitError, JsonNumberError: as :func:`plain_json` does.
    """
    return plain_json(value, path, _simpler)


def _simpler(value: object) -> object:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise Refused(JsonNumberError, NOT_FINITE)
        return str(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, _SCALARS):
        return to_jsonable_python(value)
    if hasattr(type(value), _OWN_JSON):
        return getattr(value, _OWN_JSON)()
    return _fields_of(value)


def _fields_of(value: object) -> object:
    """Models and dataclasses. Other classes have serializers too, and some of those lose the value (SecretStr)."""
    if isinstance(value, type) or not (isinstance(value, BaseModel) or dataclasses.is_dataclass(value)):
        refuse(value)
    serializer = getattr(type(value), "__pydantic_serializer__", None)
    if serializer is not None:
        try:
            dumped = serializer.to_python(value, mode="json", by_alias=False, round_trip=True, warnings=False)
        except ValueError:  # pydantic's own kind is one; its text may hold the value
            raise Refused(JsonInvalidError, f"this {type(value).__qualname__} has no JSON form") from None
        if _holds_null(dumped):  # of what is not finite in an untyped field pydantic makes null
            _require_finite(serializer.to_python(value, by_alias=False, round_trip=True, warnings=False))
        return dumped
    names = [field.name for field in dataclasses.fields(cast(Any, value))]
    return {name: getattr(value, name) for name in names}


def _holds_null(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_null, value.values()))
    return value is None or (isinstance(value, list) and any(map(_holds_null, value)))


def _require_finite(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused(JsonNumberError, NOT_FINITE)
    members: Mapping[str, object] = {}
    if isinstance(value, Mapping):
        members = {str(key): item for key, item in value.items()}
    elif isinstance(value, list | tuple):
        members = {str(place): item for place, item in enumerate(value)}
    for step, item in members.items():
        try:
            _require_finite(item)
        except Refused as refused:
            refused.steps.append(step)
            raise
