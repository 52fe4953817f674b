"""What objects hold where no type tells what it is: there pydantic writes bytes as text and sets as lists, and reads
these."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, cast

from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.schemas.pydantic.core_schemas import CoreSchema, takes_anything
from flowstate_server.schemas.pydantic.stored_form import members_of


def untold_member(value: object, form: Json) -> str | None:
    """The name of a member of an object, of which ``form`` was made, whose bytes or sets are read from that as what
    they are not. What is not read at all is left to who validates it."""
    kind: Any = type(value)
    if not _has_untold(kind) or not _bytes_and_sets(members_of(value)):
        return None
    try:
        read = members_of(
            kind.__pydantic_validator__.validate_json(encode_json(form), by_alias=True, by_name=True)
        )
    except (ValueError, TypeError):
        return None
    return next(
        (
            name
            for name, item in members_of(value).items()
            if _bytes_and_sets(item) != _bytes_and_sets(read.get(name))
        ),
        None,
    )


@lru_cache(maxsize=512)
def _has_untold(kind: Any) -> bool:
    schema = kind.__pydantic_core_schema__
    return isinstance(schema, Mapping) and takes_anything(cast(CoreSchema, schema), {})


def _bytes_and_sets(value: object) -> int:
    """How many there are in ``value``."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bytes):
        return 1
    if isinstance(value, set | frozenset):
        return 1 + sum(map(_bytes_and_sets, value))
    if isinstance(value, list | tuple | deque):
        return sum(map(_bytes_and_sets, value))
    return sum(_bytes_and_sets(key) + _bytes_and_sets(item) for key, item in members_of(value).items())
