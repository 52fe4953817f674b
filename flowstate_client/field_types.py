"""Values of a state's fields as JSON by the types that a model declares for them, for handles that have a model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator, core_schema

from flowstate_client.dumping import mended
from flowstate_client.proof import ANOTHER_VALUE, bytes_and_sets_in, has_untyped, may_differ, same

_CONTAINERS: tuple[Callable[[list[Any]], Any], ...] = (list, set, tuple, deque, frozenset)


class NotOfType(Exception):
    """A value is not of the type of its place, or that is not known: it is sent as what it is by itself."""


class FieldTypes:
    """The fields of a model of a state; made by :func:`field_types`.

    Each method raises ``NotOfType``, and ``ValueError``, which names no place, for a value of whose JSON form another
    value is read.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        schema: Any = TypeAdapter(model).core_schema
        self._config: Mapping[str, Any] = {}
        self._definitions: dict[str, Any] = {}
        while "fields" not in schema:
            if schema["type"] == "definitions":
                self._definitions.update({part["ref"]: part for part in schema["definitions"]})
            self._config = schema.get("config") or self._config
            ref = schema.get("schema_ref")
            schema = schema["schema"] if ref is None else self._definitions[ref]
        self._fields: Mapping[str, Any] = {name: field["schema"] for name, field in schema["fields"].items()}
        self._made: dict[str, _Field] = {}

    def value(self, name: str, value: Any) -> Any:
        """The value of a field as JSON."""
        return self._field(name).json(value)

    def element(self, name: str, value: Any) -> Any:
        """An element of a field that is a list, a set or the like, as JSON."""
        for held in _held(value):
            try:
                (made,) = self._field(name).json(held)
            except NotOfType:
                continue
            return made
        raise NotOfType

    def record(self, name: str, record: tuple[Hashable, Any]) -> tuple[str, Any]:
        """The text of a key of a field that is a map, and the value under it as JSON."""
        made = self._field(name).json(dict([record]))
        if not isinstance(made, dict):
            raise NotOfType
        ((text, item),) = made.items()
        return text, item

    def key(self, name: str, key: Hashable) -> str:
        """The text of a key of a field that is a map."""
        made = self._field(name).dumped({key: None}, warnings=False)
        if not isinstance(made, dict):
            raise NotOfType
        (text,) = made
        return str(text)

    def _field(self, name: str) -> _Field:
        if name not in self._fields:
            raise NotOfType
        if name not in self._made:
            self._made[name] = _Field(self._fields[name], self._config, self._definitions)
        return self._made[name]


class _Field:
    def __init__(self, schema: Any, config: Mapping[str, Any], definitions: Mapping[str, Any]) -> None:
        parts = [schema, *_referred(schema, definitions, set())]
        self._untyped = has_untyped(parts)
        self._needs_proof = may_differ([config, *parts]) or any(map(_has_choices, parts))
        settings = cast(Any, config)
        held: Any = core_schema.typed_dict_schema(
            {"field": core_schema.typed_dict_field(schema)}, config=settings
        )
        whole = core_schema.definitions_schema(held, list(definitions.values())) if definitions else held
        self._serializer = SchemaSerializer(whole, settings)
        self._validator = SchemaValidator(whole, settings)

    def json(self, value: Any) -> Any:
        made = self.dumped(value)
        untold = bytes_and_sets_in(value) if self._untyped else 0
        if made == value or not (self._needs_proof or untold):
            return made
        try:
            read = self._validator.validate_json(orjson.dumps({"field": made}))["field"]
        except (ValidationError, TypeError):  # the server says what there is to say
            return made
        if untold and untold != bytes_and_sets_in(read):
            raise ValueError("bytes or sets would read back as texts or lists: declare them, or give these")
        if self._needs_proof and not same(value, read):
            raise ValueError(ANOTHER_VALUE.format("the field"))
        return made

    def dumped(self, value: Any, warnings: Any = "error") -> Any:
        try:
            plain = self._serializer.to_python(
                {"field": value}, mode="json", by_alias=True, round_trip=True, warnings=warnings
            )
            return mended(value, plain["field"])
        except (ValueError, AttributeError):  # the second if it is another dataclass
            raise NotOfType from None


def _referred(node: Any, definitions: Mapping[str, Any], seen: set[str]) -> Iterator[Any]:
    """The definitions that ``node`` refers to, and those that they refer to."""
    if isinstance(node, Mapping):
        ref = node.get("schema_ref", "")
        if ref in definitions and ref not in seen:
            seen.add(ref)
            yield definitions[ref]
            yield from _referred(definitions[ref], definitions, seen)
        node = tuple(node.values())
    if isinstance(node, (list, tuple)):
        for part in node:
            yield from _referred(part, definitions, seen)


def _has_choices(node: Any) -> bool:
    """Whether there is a union in ``node``, which may read what one choice has written as another one."""
    if isinstance(node, Mapping):
        return node.get("type") in ("union", "json") or any(map(_has_choices, node.values()))
    return isinstance(node, (list, tuple)) and any(map(_has_choices, node))


def _held(value: Any) -> Iterator[Any]:
    for container in _CONTAINERS:
        try:
            yield container([value])
        except TypeError:  # no element of sets
            continue


@lru_cache(maxsize=256)
def field_types(model: Any) -> FieldTypes | None:
    """The types of the fields of ``model``, ``None`` if it is no pydantic model."""
    return FieldTypes(model) if isinstance(model, type) and issubclass(model, BaseModel) else None
