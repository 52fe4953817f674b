"""Unions that JSON does not tell apart: what is written as one choice would be read as the other.

Told are pairs of which that is certain: a text and a date, a list and a set, two models of one shape. Of others each
value is proven when it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from typing import Any

from flowstate_server.schemas.pydantic.core_schemas import (
    CoreSchema,
    Definitions,
    as_named_tuple,
    deque_as_function,
    fields_of,
    walk,
)
from flowstate_server.schemas.pydantic.keys import keys_in
from flowstate_server.schemas.shape import LISTS, MAPS

_SCALARS = {
    "none": "null", "bool": "boolean", "int": "number", "float": "number",
    "str": "text", "bytes": "text", "date": "text", "time": "text", "datetime": "text", "timedelta": "text",
    "uuid": "text", "url": "text", "multi-host-url": "text", "decimal": "text", "complex": "text",
}  # fmt: skip
_OBJECTS = frozenset(("model", "dataclass", "typed-dict"))
_FUNCTIONS = frozenset(("function-before", "function-wrap", "function-after"))
_PASSED = frozenset((*_FUNCTIONS, "default", "nullable", "definitions", "custom-error"))
_SHORTER = frozenset(("pattern", "max_length", "min_length"))


def like_choices(schema: CoreSchema, definitions: Definitions) -> tuple[str, str] | None:
    """The names of two choices of a union in ``schema`` that read alike from JSON."""
    look = _Look(definitions)
    for union in _unions(schema, definitions):
        for one, other in combinations(look.choices(union), 2):
            if look.alike(one, other):
                return one.name, other.name
    return None


def like_keys(schema: CoreSchema, definitions: Definitions) -> tuple[str, str] | None:
    """The names of two types of keys of one map in ``schema`` that read alike from the texts that JSON has for keys."""
    look = _Look(definitions)
    for keys in keys_in(schema, definitions):
        for one, other in combinations(look.choices(keys), 2):
            if look.alike_as_keys(one, other):
                return one.name, other.name
    return None


def is_no_key(schema: CoreSchema, definitions: Definitions) -> str | None:
    """The name of a type of keys in ``schema`` of which JSON can make no text that is read again."""
    look = _Look(definitions)
    choices = (choice for keys in keys_in(schema, definitions) for choice in look.choices(keys))
    return next((choice.name for choice in choices if choice.kinds & {"list", "object"}), None)


def needs_proof(union: CoreSchema, definitions: Definitions) -> bool:
    """Whether two choices of a union have one kind of JSON, so that a value may not be read as it was written."""
    look = _Look(definitions)
    kinds = [choice.kinds for choice in look.choices(union)]
    return any("any" in one | other or one & other for one, other in combinations(kinds, 2))


def _unions(schema: CoreSchema, definitions: Definitions) -> Iterator[CoreSchema]:
    return (part for part in walk(schema, definitions) if part["type"] == "union")


@dataclass(frozen=True)
class _Choice:
    """``made`` is the Python type of its values, as far as it is known; ``made_of`` its schema past what wraps it."""

    made_of: CoreSchema
    made: str | type
    kinds: frozenset[str]

    @property
    def name(self) -> str:
        return self.made if isinstance(self.made, str) else self.made.__name__


class _Look:
    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def choices(self, schema: CoreSchema) -> list[_Choice]:
        """What a value of ``schema`` may be, with nested unions laid flat."""
        root = made = None
        while True:
            kind = schema["type"]
            if kind == "definition-ref":
                schema = self._definitions[schema["schema_ref"]]
            elif kind == "union":
                parts = (choice[0] if isinstance(choice, tuple) else choice for choice in schema["choices"])
                return [choice for part in parts for choice in self.choices(part)]
            elif kind == "tagged-union":
                return [_Choice(schema, "a tagged union", frozenset(("object",)))]
            elif kind in _PASSED or (kind == "model" and schema.get("root_model")):
                root = schema.get("cls", root) if kind == "model" else root
                made = _made_by(schema) or made if kind in _FUNCTIONS else made
                schema = schema["schema"]
            elif kind in ("lax-or-strict", "json-or-python"):
                inside = schema["strict_schema" if kind == "lax-or-strict" else "json_schema"]
                schema = deque_as_function(schema) or inside
            else:
                schema = as_named_tuple(schema)
                return [_Choice(schema, root or made or _type_of(schema), _kinds(schema))]

    def alike(self, one: _Choice, other: _Choice) -> bool:
        kinds = one.kinds & other.kinds
        if not kinds or one.made == other.made != "list":
            return False
        if kinds <= {"text", "number"}:
            earlier = one.made == "timedelta" and other.made == "time"  # of which it reads the text, too
            return earlier or _like_scalars(one, other) or _like_scalars(other, one)
        if kinds == {"list"}:
            return self._like_lists(one, other)
        return kinds == {"object"} and self._like_objects(one, other)

    def alike_as_keys(self, one: _Choice, other: _Choice) -> bool:
        """Keys are texts, whatever they are made of: 1 is "1", and "1" is true, too."""
        if one.made == other.made:
            return False
        kinds = one.kinds | other.kinds
        free = any(
            choice.made == "str" and choice.made_of["type"] == "str" and not _SHORTER & choice.made_of.keys()
            for choice in (one, other)
        )
        return free or {"boolean", "number"} <= kinds or self.alike(one, other)

    def _like_lists(self, one: _Choice, other: _Choice) -> bool:
        if one.made != other.made:
            lengths = [_length(choice.made_of) for choice in (one, other)]
            return None in lengths or lengths[0] == lengths[1]
        mine, others = one.made_of.get("items_schema"), other.made_of.get("items_schema")
        if not (isinstance(mine, dict) and isinstance(others, dict)):
            return False
        return any(self.alike(a, b) for a in self.choices(mine) for b in self.choices(others))

    def _like_objects(self, one: _Choice, other: _Choice) -> bool:
        if "typed-dict" in (one.made, other.made) and "dict" in (one.made, other.made):
            return False
        if one.made_of["type"] in MAPS or other.made_of["type"] in MAPS:
            held, free = (one, other) if other.made_of["type"] in MAPS else (other, one)
            values = free.made_of.get("values_schema")
            return held.made_of["type"] in _OBJECTS and all(
                values is None or self._may_meet(field["schema"], values)
                for field in self._fields(held).values()
            )
        mine, others = self._fields(one), self._fields(other)
        # Pydantic takes the one of which more fields are there, of equals the first.
        if mine.keys() == others.keys():
            return self._fields_may_meet(mine, others)
        return others.keys() < mine.keys() and self._fields_may_meet(others, mine)

    def _fields_may_meet(self, few: dict[str, CoreSchema], more: dict[str, CoreSchema]) -> bool:
        """Whether an object of the ``few`` fields can be one of ``more``."""
        optional = all(not _required(more[name]) for name in more.keys() - few.keys())
        return optional and all(
            self._may_meet(field["schema"], more[name]["schema"]) for name, field in few.items()
        )

    def _may_meet(self, one: CoreSchema, other: CoreSchema) -> bool:
        pairs = [(a, b) for a in self.choices(one) for b in self.choices(other)]
        return any(_any_in(a, b) or (a.kinds & b.kinds and not _parted(a, b)) for a, b in pairs)

    def _fields(self, choice: _Choice) -> dict[str, CoreSchema]:
        schema = choice.made_of
        while not (found := fields_of(schema)) and "schema" in schema:
            schema = schema["schema"]
            if schema["type"] == "definition-ref":
                schema = self._definitions[schema["schema_ref"]]
        return dict(found)


def _kinds(schema: CoreSchema) -> frozenset[str]:
    kind = schema["type"]
    if kind in ("literal", "enum"):
        return frozenset(map(_kind_of_value, _members(schema)))
    if kind in LISTS or kind == "named-tuple":
        return frozenset(("list",))
    if kind in MAPS or kind in _OBJECTS:
        return frozenset(("object",))
    return frozenset((_SCALARS.get(kind, "any"),))


def _kind_of_value(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "boolean"
    return "number" if isinstance(value, int | float) else "text" if isinstance(value, str) else "any"


def _members(schema: CoreSchema) -> list[Any]:
    return schema["expected"] if schema["type"] == "literal" else [item.value for item in schema["members"]]


def _type_of(schema: CoreSchema) -> str | type:
    kind = str(schema["type"])
    if kind == "enum":
        cls: type = schema["cls"]
        return next((base.__name__ for base in (str, int, float) if issubclass(cls, base)), cls)
    if kind == "literal":
        return "str" if all(type(value) is str for value in schema["expected"]) else "int"
    if kind in ("model", "dataclass", "named-tuple"):
        made: type = schema["cls"]
        return made
    return kind


def _made_by(schema: CoreSchema) -> str | type | None:
    """The class that a function of pydantic's makes of a text."""
    function = schema["function"].get("function")
    if isinstance(function, type) and not issubclass(function, str):
        return function
    return {"path_validator": "Path", "deque_validator": "deque"}.get(getattr(function, "__name__", ""))


def _like_scalars(one: _Choice, other: _Choice) -> bool:
    made, kind = one.made, one.made_of["type"]
    if made in ("int", "float"):
        return isinstance(other.made, type) and issubclass(other.made, Enum)
    takes_any_text = kind in ("str", "bytes") and made in ("str", "bytes", "Path")
    return takes_any_text and not (_SHORTER & one.made_of.keys()) and "text" in other.kinds


def _length(schema: CoreSchema) -> int | None:
    if schema["type"] == "named-tuple":
        return len(schema["fields"])
    if schema["type"] == "tuple" and schema.get("variadic_item_index") is None:
        return len(schema["items_schema"])
    return None


def _required(field: CoreSchema) -> bool:
    return bool(field.get("required", True)) and field["schema"]["type"] != "default"


def _any_in(one: _Choice, other: _Choice) -> bool:
    return "any" in one.kinds | other.kinds


def _parted(one: _Choice, other: _Choice) -> bool:
    """Whether both name their values and have none in common."""
    named = [choice.made_of["type"] in ("literal", "enum") for choice in (one, other)]
    return all(named) and not {repr(value) for value in _members(one.made_of)} & {
        repr(value) for value in _members(other.made_of)
    }
