"""Values that flow authors hand over, as the JSON that is stored."""

from __future__ import annotations

import dataclasses
from datetime import date, time, timedelta
from decimal import Decimal
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from pydantic import AnyUrl, BaseModel
from pydantic_core import MultiHostUrl, Url, to_jsonable_python

from flowstate_server.errors import JsonInvalidError, JsonNumberError
from flowstate_server.model.json_values import Json
from flowstate_server.schemas.pydantic.input_proof import require_proof
from flowstate_server.schemas.pydantic.stored_form import SECRETS, Reveal, refuse_secret, stored_form
from flowstate_server.schemas.pydantic.untold import untold_member
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
NO_BYTES = (
    'bytes are not JSON, but for UTF-8 in a field of bytes: ser_json_bytes="base64" and val_json_bytes="base64" in the '
    "config of its model let it take any"
)
UNTOLD = "bytes and sets are read as texts and lists where no type tells what they are: declare them"
OWN_JSON = "__flowstate_json__"
"""The attribute by which a value brings its JSON along: a callable without arguments."""


def to_json(value: object, path: str) -> Json:
    """``value`` as a fresh JSON tree: what :func:`plain_json` takes, and what pydantic has a JSON form for (models,
    dataclasses, dates and times, UUIDs, Decimals, URLs, file paths, IP addresses).

    Raises:
        JsonInvalidError, JsonLimitError, JsonNumberError: as :func:`plain_json` does.
    """
    return plain_json(value, path, _simpler)


def input_json(value: object, path: str) -> Json:
    """:func:`to_json` for what is given to an action, so as it reads it: by alias, and secrets as what they wrap.

    Raises:
        JsonInvalidError: also where it would read another value.
    """
    simpler = partial(_simpler, secret=lambda secret: secret.get_secret_value(), by_alias=True)
    json = plain_json(value, path, simpler)
    require_proof(value, path, lambda part: plain_json(part, "", simpler))
    return json


def _simpler(value: object, secret: Reveal = refuse_secret, by_alias: bool = False) -> object:
    if isinstance(value, SECRETS):
        return secret(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise Refused(JsonNumberError, NOT_FINITE)
        return str(value)
    if isinstance(value, bytes | bytearray):
        raise Refused(JsonInvalidError, NO_BYTES)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, _SCALARS):
        return to_jsonable_python(value)
    if hasattr(type(value), OWN_JSON):
        return getattr(value, OWN_JSON)()
    return _fields_of(value, secret, by_alias)


def _fields_of(value: object, secret: Reveal, by_alias: bool) -> object:
    """Models and dataclasses. Other classes have serializers too, and some of those lose the value (SecretStr)."""
    if isinstance(value, type) or not (isinstance(value, BaseModel) or dataclasses.is_dataclass(value)):
        refuse(value)
    serializer = getattr(type(value), "__pydantic_serializer__", None)
    if serializer is not None:
        try:
            dumped = serializer.to_python(
                value, mode="json", by_alias=by_alias, round_trip=True, warnings=False
            )
        except ValueError:  # pydantic's own kind is one; its text may hold the value
            raise Refused(JsonInvalidError, f"this {type(value).__qualname__} has no JSON form") from None
        form = stored_form(value, dumped, secret)
        if (untold := untold_member(value, form)) is not None:
            refused = Refused(JsonInvalidError, UNTOLD)
            refused.steps.append(untold)
            raise refused
        return form
    names = [field.name for field in dataclasses.fields(cast(Any, value))]
    return {name: getattr(value, name) for name in names}
