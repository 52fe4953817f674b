"""Proof that what is written of a value reads back as that value, whatever its serializers and aliases."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from enum import Enum
from functools import lru_cache
from typing import Any, Protocol

from pydantic import BaseModel, TypeAdapter

from flowstate_client.errors import ResponseValidationError

ANOTHER_VALUE = "what the serializers, aliases or exclusions of {} make of it reads back as another value"
_PYDANTICS = ("pydantic", "pydantic_core", "builtins", "operator")


class _Codec(Protocol):
    def encode(self, value: Any) -> bytes: ...

    def decode(self, text: bytes, expected: Any) -> Any: ...


def proven_text(value: Any, codec: _Codec) -> str:
    """``value`` as JSON text from which the same value is read.

    Raises:
        ValueError: naming the place.
    """
    text = codec.encode(value).decode()
    require_proof(value, codec)
    return text


def require_proof(value: Any, codec: _Codec) -> None:
    """Refuse a model or dataclass anywhere in ``value`` of which the server would read something else.

    What is not read at all is left to the server.

    Raises:
        ValueError: naming the place.
    """
    for path, part in _objects(value, ""):
        kind: Any = type(part)
        differs, untyped = _judged(kind)
        if not differs and not (untyped and bytes_and_sets_in(part)):
            continue
        try:
            read = codec.decode(codec.encode(part), kind)
        except ResponseValidationError:
            continue
        if (name := _first_difference(part, read) if differs else _untold_member(part, read)) is not None:
            place = f"{path}/{name}" if name else path or "the value"
            raise ValueError(f"{place}: {ANOTHER_VALUE.format(kind.__name__)}")


def bytes_and_sets_in(value: Any) -> int:
    """How many there are in ``value``: where no type declares them they are read as texts and lists."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        value = _members(value)
    if isinstance(value, Mapping):
        return sum(bytes_and_sets_in(key) + bytes_and_sets_in(item) for key, item in value.items())
    if isinstance(value, (list, tuple, deque)):
        return sum(map(bytes_and_sets_in, value))
    if isinstance(value, (set, frozenset)):
        return 1 + sum(map(bytes_and_sets_in, value))
    return int(isinstance(value, (bytes, bytearray)))


def _untold_member(one: Any, other: Any) -> str | None:
    """The name of the first member whose bytes or sets were read as something else."""
    others = _members(other) if type(one) is type(other) else {}
    counted = {name: bytes_and_sets_in(value) for name, value in _members(one).items()}
    return next(
        (name for name, count in counted.items() if count != bytes_and_sets_in(others.get(name))), None
    )


def _objects(value: Any, path: str, owned: bool = False) -> Iterator[tuple[str, Any]]:
    """The objects in ``value`` that say themselves how they are written; ``owned`` tells that one around it does."""
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        if not owned or hasattr(type(value), "__pydantic_serializer__"):
            yield path, value
        for name, item in _members(value).items():
            yield from _objects(item, f"{path}/{name}", owned=True)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _objects(item, f"{path}/{key}", owned)
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        for place, item in enumerate(value):
            yield from _objects(item, f"{path}/{place}", owned)


@lru_cache(maxsize=512)
def _judged(kind: type) -> tuple[bool, bool]:
    schema = getattr(kind, "__pydantic_core_schema__", None)
    if not isinstance(schema, Mapping) and not issubclass(kind, BaseModel):
        schema = TypeAdapter(kind).core_schema
    return may_differ(schema), has_untyped(schema)


def has_untyped(node: Any) -> bool:
    """Whether there is a place without a type in ``node``, where pydantic writes whatever it finds."""
    if isinstance(node, Mapping):
        if node.get("type") in ("any", "function-plain") and not node.get("serialization"):
            return True
        return any(map(has_untyped, node.values()))
    return isinstance(node, (list, tuple)) and any(map(has_untyped, node))


def may_differ(node: Any) -> bool:
    """Whether there is a function of an author's in ``node`` that writes, or a setting that says how, or leaves out."""
    if isinstance(node, Mapping):
        if node.get("validation_alias") != node.get("serialization_alias"):
            return True
        if node.get("serialization_exclude") or node.get("serialization_exclude_if"):
            return True
        if node.get("validate_by_alias") is False:
            return True
        made_by = node.get("serialization")
        if isinstance(made_by, Mapping) and str(made_by.get("type")).startswith("function-"):
            function = made_by.get("function")
            module = getattr(function, "__module__", None) or type(function).__module__
            if module.split(".")[0] not in _PYDANTICS:
                return True
        if any(isinstance(key, str) and key.startswith(("ser_json", "val_json")) for key in node):
            return True
        return any(map(may_differ, node.values()))
    return isinstance(node, (list, tuple)) and any(map(may_differ, node))


def _first_difference(one: Any, other: Any) -> str | None:
    """The name of the first member in which two objects differ, empty if they do as a whole."""
    if type(one) is not type(other):
        return ""
    mine, others = _members(one), _members(other)
    if mine.keys() != others.keys():
        return ""
    return next((name for name, value in mine.items() if not same(value, others[name])), None)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal at every depth, as far as JSON tells their types apart."""
    if isinstance(one, BaseModel) or dataclasses.is_dataclass(one):
        return _first_difference(one, other) is None
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, Set) and isinstance(other, Set):
        return one == other
    if isinstance(one, (Sequence, deque)) and not isinstance(one, (str, bytes)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _members(value: Any) -> Mapping[str, Any]:
    if isinstance(value, BaseModel):
        fields = {name: value.__dict__[name] for name in type(value).model_fields if name in value.__dict__}
        return {**fields, **(value.model_extra or {})}
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
