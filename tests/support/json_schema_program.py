"""Flows without a pydantic model: JSON Schemas, and functions of JSON. The second implementation of the protocols."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, cast

from jsonschema import Draft202012Validator

from flowstate_server.errors import StateValidationError, ValidationFailedError, Violation
from flowstate_server.model.json_values import Json, JsonObject, canonical_json, decode_json
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.description import ActionDescription
from flowstate_server.programs.run_context import RunContext
from flowstate_server.schemas.reading import AS_STORED, Reading
from flowstate_server.schemas.shape import Shape
from flowstate_server.state.json_pointer import Pointer, format_pointer
from flowstate_server.state.missing import MISSING, Missing

Schema = dict[str, Any]
Resources = Mapping[str, JsonObject | None]

_TYPES = {
    "integer": "int",
    "number": "float",
    "string": "str",
    "boolean": "bool",
    "null": "none",
    "array": "list",
    "object": "dict",
}


class JsonSchema:
    """Implements ``ScopeSchema`` by the JSON Schema of an object. Rules over several fields it has none."""

    def __init__(self, scope: ScopeKind, properties: Mapping[str, Schema]) -> None:
        self._scope = scope
        self._properties = dict(properties)
        self._validators = {name: Draft202012Validator(schema) for name, schema in properties.items()}
        self._defaults = {
            name: cast(Json, schema["default"]) for name, schema in properties.items() if "default" in schema
        }
        self.fields = tuple(properties)
        self.drawn = tuple(name for name, schema in properties.items() if "x-drawn" in schema)
        self.hash = hashlib.sha256(canonical_json(self._properties)).hexdigest()[:32]

    partly_drawn = ()
    changeable = ()

    def incomplete(self, state: JsonObject, /) -> tuple[str, ...]:
        return ()

    def declares(self, name: str, /) -> bool:
        return name in self._properties

    def default_at(self, pointer: Pointer, /) -> Json | Missing:
        schema: Schema = {"properties": self._properties}
        for key in pointer:
            schema = schema.get("properties", {}).get(key) or {}
        return cast(Json, schema["default"]) if "default" in schema else MISSING

    def declared_in(self, name: str, /) -> Sequence[str]:
        return ()

    def declared_otherwise(self, pointer: Pointer, kind: str, /) -> str:
        return ""

    def read_again(self, state: JsonObject, names: Iterable[str], /) -> Reading:
        return AS_STORED

    def with_defaults(self, state: JsonObject, /) -> JsonObject:
        return {**self._defaults, **state}

    def record_key(self, name: str, key: str, /) -> str:
        return key

    def check(self, state: JsonObject, touched: frozenset[str], before: JsonObject, /) -> JsonObject:
        found = [
            Violation(format_pointer((name,)), "undeclared", "is not declared by this flow")
            for name in sorted(touched - self._properties.keys())
        ]
        for name in self.fields:
            if name in touched and name in state:
                found += violations(self._validators[name], state[name], format_pointer((name,)))
        if found:
            raise StateValidationError(self._scope, tuple(found))
        return state

    def by_record(self, name: str, /) -> bool:
        return False

    def seen_by_code(self, touched: Set[str], /) -> Set[str]:
        return frozenset()

    def shape(self, name: str, /) -> Shape:
        return shape_of(self._properties[name])

    def json_schema(self) -> JsonObject:
        return {"type": "object", "properties": cast(Json, self._properties)}


def shape_of(schema: Schema) -> Shape:
    """Of a schema with one type."""
    rest = {key: value for key, value in schema.items() if key not in ("type", "default", "items")}
    shape: Shape = {"type": _TYPES.get(schema.get("type", ""), "any")}
    if "items" in schema:
        shape["of"] = shape_of(schema["items"])
    return {**shape, "constraints": rest} if rest else shape


def violations(validator: Draft202012Validator, value: Json, path: str) -> list[Violation]:
    """What ``value`` breaks; the library's own messages tell the value, so they are not used."""
    return [
        Violation(
            path + format_pointer([str(step) for step in error.absolute_path]),
            str(error.validator),
            f"does not fit {error.validator}: {error.validator_value}",
        )
        for error in validator.iter_errors(value)
    ]


@dataclass(frozen=True)
class JsonAction:
    """What an action takes and gives, and what it does."""

    input: Schema
    output: Schema
    run: Callable[[Any, RunContext], Awaitable[Json]]
    resources: tuple[tuple[ScopeKind, str], ...] = ()

    def described(self, name: str) -> ActionDescription:
        return ActionDescription(name, self.input, self.output, resources=self.resources)


class JsonProgram:
    """Implements ``Program``. ``derived`` are functions of a scope's state, defaults shown, ``related`` of its single
    resources, ``views`` of the state of a resource."""

    def __init__(
        self,
        actions: Mapping[str, JsonAction],
        schemas: Mapping[ScopeKind, JsonSchema],
        derived: Mapping[tuple[ScopeKind, str], Callable[[JsonObject], Json]],
        related: Mapping[tuple[ScopeKind, str], Callable[[Resources], Json]] | None = None,
        views: Mapping[tuple[ScopeKind, str], Callable[[JsonObject], Json]] | None = None,
    ) -> None:
        self._actions = actions
        self._schemas = schemas
        self._derived = derived
        self._related = related or {}
        self._views = views or {}

    async def check_input(self, action: str, text: bytes, /) -> Json:
        value = decode_json(text)
        _require(self._actions[action].input, value, "/input")
        return value

    async def gate_key(self, action: str, value: Any, /) -> str:
        raise NotImplementedError

    async def execute(self, action: str, value: Any, run: RunContext, /) -> Json:
        return await self._actions[action].run(value, run)

    async def draw(self, scope: ScopeKind, names: Sequence[str], /) -> JsonObject:
        return {name: uuid.uuid4().hex for name in names}

    def dump_output(self, action: str, output: Any, /) -> Json:
        _require(self._actions[action].output, output, "/output")
        return cast(Json, output)

    async def derive(
        self,
        scope: ScopeKind,
        names: Sequence[str],
        state: JsonObject,
        resources: Mapping[str, JsonObject | None],
        /,
    ) -> Mapping[str, Json | Failure]:
        shown = self._schemas[scope].with_defaults(state)
        return {
            name: self._related[scope, name](resources)
            if (scope, name) in self._related
            else self._derived[scope, name](shown)
            for name in names
        }

    async def show(self, scope: ScopeKind, name: str, state: JsonObject, /) -> Json | Failure:
        return self._views[scope, name](state)


def _require(schema: Schema, value: Json, path: str) -> None:
    if found := violations(Draft202012Validator(schema), value, path):
        raise ValidationFailedError(tuple(found))
