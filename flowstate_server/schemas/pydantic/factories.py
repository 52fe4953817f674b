"""Telling factories that give another value each time from those that make the same one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from enum import Enum
from uuid import UUID

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


def _is_likely_to_differ(value: object, *, inside: bool) -> bool:
    if value is None or isinstance(value, bool | Enum):
        return False
    if isinstance(value, str | bytes | int | float | Decimal):
        return not inside
    if isinstance(value, date | time | UUID):
        return True
    parts = value if isinstance(value, list | tuple | set | frozenset) else members_of(value).values()
    return any(_is_likely_to_differ(part, inside=True) for part in parts)
