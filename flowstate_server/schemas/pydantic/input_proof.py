"""Proof that an input is read as the value that was given, where serializers, aliases or exclusions may part them."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

from flowstate_server.errors import JsonInvalidError
from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.schemas.pydantic.core_schemas import CoreSchema, fields_of, is_pydantics, walk
from flowstate_server.schemas.pydantic.json_mode import validator_of
from flowstate_server.schemas.pydantic.stored_form import members_of, same_value
from flowstate_server.state.json_pointer import Pointer, format_pointer


def require_proof(value: object, path: str, written: Callable[[object], Json]) -> None:
    """Refuse a model or dataclass anywhere in ``value`` from whose JSON, ``written``, another one is read.

    What is not read at all is left to who validates the input.

    Raises:
        JsonInvalidError: naming the place.
    """
    for pointer, part in _objects(value, ()):
        kind: Any = type(part)
        reader = _reader(kind)
        if reader is None:
            continue
        try:
            read = reader.validate_json(encode_json(written(part)), strict=True)
        except ValidationError:
            continue
        place = _first_difference(part, read)
        if place is not None:
            raise JsonInvalidError(
                path + format_pointer((*pointer, *place)),
                f"what the serializers, aliases or exclusions of {kind.__qualname__} make of it reads back as "
                "another value",
            )


def _objects(value: object, pointer: Pointer) -> Iterator[tuple[Pointer, object]]:
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        yield pointer, value
        members: Mapping[Any, object] = members_of(value)
    elif isinstance(value, Mapping):
        members = value
    elif isinstance(value, list | tuple | set | frozenset | deque):
        members = dict(enumerate(value))
    else:
        return
    for name, item in members.items():
        yield from _objects(item, (*pointer, str(name)))


@lru_cache(maxsize=512)
def _reader(kind: type) -> SchemaValidator | None:
    """What reads a ``kind``, if that may be another value than was written: not of dataclasses without serializers."""
    if not hasattr(kind, "__pydantic_serializer__"):
        return None
    schema = cast(CoreSchema, TypeAdapter(kind).core_schema)
    return validator_of(schema) if any(map(_may_differ, walk(schema, {}))) else None


def _may_differ(part: CoreSchema) -> bool:
    made_by = part.get("serialization") or {}
    if made_by.get("type", "").startswith("function-") and not is_pydantics(made_by["function"]):
        return True
    config = part.get("config") or {}
    if config.get("validate_by_alias") is False or any(
        key.startswith(("ser_json", "val_json")) for key in config
    ):
        return True
    return any(
        field.get("validation_alias") != field.get("serialization_alias")
        or field.get("serialization_exclude")
        or field.get("serialization_exclude_if")
        for _, field in fields_of(part)
    )


def _first_difference(one: object, other: object) -> Pointer | None:
    mine, others = members_of(one), members_of(other)
    if type(one) is not type(other) or mine.keys() != others.keys():
        return ()
    return next(((name,) for name, value in mine.items() if not same_value(value, others[name])), None)
