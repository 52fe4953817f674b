"""Telling factories that give another value each time from those that make the same one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flowstate_server.model.json_values import Json, same_json
from flowstate_server.schemas.pydantic.stored_form import members_of


class FactoryRaised(Exception):
    """A factory raised where its field was declared."""


def varies(info: FieldInfo, as_json: Callable[[object], Json]) -> bool:
    """Whether a factory gives another value each time. Two equal ones prove it of lists and models; but a clock stands
    still between two calls, and who makes a number, a text or a date by a function does so for it to differ.

    Raises:
        FactoryRaised: whatever it raised.
    """
    factory: object = info.default_factory
    try:
        one, other = (info.get_default(call_default_factory=True) for _ in range(2))
    except (Exception, SystemExit) as error:
        raise FactoryRaised(
            f"its default_factory is called when the flow is built, and raised {type(error).__name__}"
        ) from error
    likely = _is_likely_to_differ(one, inside=factory is type(one))
    return likely or not same_json(as_json(one), as_json(other))


def holds_made(value: object) -> bool:
    """Whether there is in a default what such a factory has made: a default of a process is another one in the next."""
    if isinstance(value, BaseModel):
        unset = type(value).model_fields.keys() - value.model_fields_set
        factories = [type(value).model_fields[name].default_factory for name in unset]
        return any(map(makes_anew, factories)) or any(map(holds_made, members_of(value).values()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        made = any(makes_anew(field.default_factory) for field in fields)
        return made or any(holds_made(getattr(value, field.name, None)) for field in fields)
    if isinstance(value, dict):
        return any(map(holds_made, value.values()))
    return isinstance(value, list | tuple | set | frozenset) and any(map(holds_made, value))


def makes_anew(factory: Any) -> bool:
    """Whether a factory below the top level gives another value each time."""
    if factory is None or factory is dataclasses.MISSING:
        return False
    try:
        one, other = factory(), factory()
    except Exception:  # it takes the other fields, say; whatever it made is kept then
        return False
    return _is_likely_to_differ(one, inside=factory is type(one)) or bool(one != other)


def _is_likely_to_differ(value: object, *, inside: bool) -> bool:
    if value is None or isinstance(value, bool | Enum):
        return False
    if isinstance(value, str | bytes | int | float | Decimal):
        return not inside
    if isinstance(value, date | time | UUID):
        return True
    parts = value if isinstance(value, list | tuple | set | frozenset) else members_of(value).values()
    return any(_is_likely_to_differ(part, inside=True) for part in parts)
