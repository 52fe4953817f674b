"""The shape of a model's field, read from its core schema."""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import Enum
from typing import Any, cast

from flowstate_server.model.json_values import Json, canonical_json
from flowstate_server.schemas.pydantic.core_schemas import (
    CoreSchema,
    Definitions,
    as_named_tuple,
    deque_as_function,
    fields_of,
)
from flowstate_server.schemas.pydantic.factories import makes_anew
from flowstate_server.schemas.shape import LISTS, MAPS, OBJECTS, OF_TYPES, Shape, canonical_shape

# fmt: off
_NO_CONSTRAINT = frozenset((
    "type", "ref", "metadata", "serialization", "strict", "schema", "items_schema", "keys_schema", "values_schema",
    "function", "expected", "members", "cls", "cls_repr", "class_", "missing", "sub_type", "choices",
    "discriminator", "default", "default_factory", "validate_default", "copy_default", "root_model", "custom_init",
    "post_init", "config", "fields", "schema_name", "model_name", "computed_fields", "revalidate_instances",
    "generic_origin", "cls_name", "on_error", "enum_schema", "variadic_item_index", "mode", "auto_collapse",
    "custom_error_type", "custom_error_message", "custom_error_context", "fail_fast", "dataclass_name", "slots",
    "frozen", "init_only", "kw_only", "arguments_schema", "function_name", "return_schema",
))
# fmt: on
_CONFIG_OF_VALUES = {
    "str": (
        "str_max_length",
        "str_min_length",
        "str_strip_whitespace",
        "str_to_lower",
        "str_to_upper",
        "regex_engine",
    ),
    "float": ("allow_inf_nan",),
    "bytes": ("val_json_bytes",),
}


def shape_of(schema: CoreSchema, definitions: Definitions, config: dict[str, Any]) -> Shape:
    """The shape of what a core schema accepts in strict JSON mode, defaults aside."""
    return _Reader(definitions).read(schema, config)


def kinds_of(shape: Shape) -> set[str]:
    """The types that a field may have, null apart."""
    if shape.get("validators"):
        return {"whatever a function makes of it"}
    if shape["type"] == "nullable":
        return kinds_of(shape["of"])
    if shape["type"] in ("union", "tagged-union"):
        return {kind for choice in shape["choices"] for kind in kinds_of(choice)}
    return set() if shape["type"] == "none" else {shape["type"]}


class _Reader:
    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._open: list[str] = []

    def read(self, schema: CoreSchema, config: dict[str, Any]) -> Shape:
        kind = schema["type"]
        if kind == "definition-ref":
            return self._reference(schema["schema_ref"], config)
        if kind == "default" or (kind == "json" and "schema" in schema):
            return self.read(schema["schema"], config)
        if kind == "definitions":
            self._definitions = self._definitions | {part["ref"]: part for part in schema["definitions"]}
            return self.read(schema["schema"], config)
        if kind == "lax-or-strict":
            if (made := deque_as_function(schema)) is not None:
                return {**self.read(made["schema"], config), "type": "deque"}
            return self.read(schema["strict_schema"], config)
        if kind == "json-or-python":
            return self.read(schema["json_schema"], config)
        if kind.startswith("function-"):
            return self._function(schema, config)
        if kind == "chain":
            steps = [self.read(step, config) for step in schema["steps"]]
            return steps[0] if len(steps) == 1 else {"type": "chain", "choices": steps}
        return self._typed(schema, config)

    def _typed(self, schema: CoreSchema, config: dict[str, Any]) -> Shape:
        schema = as_named_tuple(schema)
        kind = schema["type"]
        shape: Shape = {"type": kind}
        if kind == "nullable":
            shape["of"] = self.read(schema["schema"], config)
        elif kind == "tuple":
            shape["choices"] = [self.read(item, config) for item in schema["items_schema"]]
            shape["variadic"] = schema.get("variadic_item_index")
        elif kind in LISTS:
            shape["of"] = self._optional(schema.get("items_schema"), config)
        elif kind in MAPS:
            shape["keys"] = self._optional(schema.get("keys_schema"), config)
            shape["of"] = self._optional(schema.get("values_schema"), config)
        elif kind == "literal":
            shape["values"] = _sorted([_member(value) for value in schema["expected"]])
        elif kind == "enum":
            shape["values"] = _sorted([_member(member.value) for member in schema["members"]])
            shape["name"] = schema["cls"].__name__
            if schema.get("missing"):
                shape["validators"] = [f"missing {_function_token(schema['missing'])}"]
        elif kind in ("union", "tagged-union"):
            self._union(schema, config, shape)
        elif kind in OBJECTS:
            return self._object(schema)
        elif kind == "call":
            shape["of"] = self.read(schema["arguments_schema"], config)
        elif kind in ("named-tuple", "arguments", "arguments-v3"):
            parts = schema.get("fields") or schema.get("arguments_schema") or []
            shape["fields"] = {part["name"]: self._member_field(part, config, total=True) for part in parts}
            shape["order"] = [part["name"] for part in parts]  # in JSON they are a list
        elif "schema" in schema:
            shape["of"] = self.read(schema["schema"], config)
        for key in ("cls", "function"):
            if key in schema and kind not in ("enum", "named-tuple"):  # a named tuple is what its members are
                shape.setdefault("validators", []).append(f"{kind} {_function_token(schema[key])}")
        constraints = {key: _plain(value) for key, value in schema.items() if key not in _NO_CONSTRAINT}
        if kind in _CONFIG_OF_VALUES:
            constraints = {**_config_of_values(config, kind), **constraints}
        if kind not in ("tuple",) and constraints:
            shape["constraints"] = constraints
        return shape

    def _optional(self, schema: CoreSchema | None, config: dict[str, Any]) -> Shape:
        return {"type": "any"} if schema is None else self.read(schema, config)

    def _reference(self, reference: str, config: dict[str, Any]) -> Shape:
        if reference in self._open:
            return {"type": "recursive", "levels": len(self._open) - self._open.index(reference)}
        self._open.append(reference)
        try:
            return {**self.read(self._definitions[reference], config), "anchor": True}
        finally:
            self._open.pop()

    def _function(self, schema: CoreSchema, config: dict[str, Any]) -> Shape:
        inner = {"type": "any"} if schema["type"] == "function-plain" else self.read(schema["schema"], config)
        token = (
            f"{schema['type'].removeprefix('function-')} {_function_token(schema['function']['function'])}"
        )
        return {**inner, "validators": [*inner.get("validators", []), token]}

    def _union(self, schema: CoreSchema, config: dict[str, Any], shape: Shape) -> None:
        choices = schema["choices"]
        if schema["type"] == "tagged-union":
            discriminator = schema["discriminator"]
            if callable(discriminator):
                shape["validators"] = [f"discriminator {_function_token(discriminator)}"]
            else:
                shape["discriminator"] = _plain(discriminator)
            shape["tags"] = _sorted([_member(tag) for tag in choices])
            choices = [choices[tag] for tag in choices]
            choices = [
                schema["choices"][choice] if isinstance(choice, str | int) else choice for choice in choices
            ]
        shapes = [self.read(choice[0] if isinstance(choice, tuple) else choice, config) for choice in choices]
        if schema.get("mode", "smart") == "smart":
            shapes.sort(key=lambda choice: canonical_shape(choice, exact=False))
        else:
            shape["ordered"] = True
        shape["choices"] = shapes

    def _object(self, schema: CoreSchema) -> Shape:
        config = dict(schema.get("config") or {})
        if schema.get("root_model"):
            return self.read(schema["schema"], config)
        inner, validators = schema, []
        while not (pairs := fields_of(inner)) and "schema" in inner:
            inner = inner["schema"]
            if inner["type"].startswith("function-"):
                validators.append(f"inner {_function_token(inner['function']['function'])}")
        total = inner.get("total", True)
        shape: Shape = {
            "type": schema["type"],
            "name": schema["cls"].__name__ if "cls" in schema else schema.get("cls_name", "object"),
            "fields": {name: self._member_field(field, config, total) for name, field in pairs},
            "extra": config.get("extra_fields_behavior", inner.get("extra_behavior", "ignore")),
        }
        return {**shape, "validators": validators} if validators else shape

    def _member_field(self, field: CoreSchema, config: dict[str, Any], total: bool) -> Shape:
        required = field.get("required", total) and field["schema"]["type"] != "default"
        read = self.read(field["schema"], config)
        made = makes_anew(field["schema"].get("default_factory"))
        return {**read, "required": required, "made": True} if made else {**read, "required": required}


def _config_of_values(config: dict[str, Any], kind: str) -> dict[str, Any]:
    """What a model's configuration asks of all values of that type in it."""
    return {
        key: _plain(config[key]) for key in _CONFIG_OF_VALUES[kind] if config.get(key) not in (None, False)
    }


def _member(value: object) -> Json:
    return [type(value).__name__, str(value.value if isinstance(value, Enum) else value)]


def _sorted(values: list[Json]) -> list[Json]:
    return sorted(values, key=canonical_json)


def _plain(value: object) -> Json:
    if value is None or type(value) in (bool, int, float, str):
        return cast(Json, value)
    if isinstance(value, list | tuple | set | frozenset):
        return [
            _plain(item)
            for item in (sorted(value, key=repr) if isinstance(value, set | frozenset) else value)
        ]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return _class_name(value) if isinstance(value, type) else repr(value)


def _class_name(cls: object) -> str:
    return f"{getattr(cls, '__module__', '')}.{getattr(cls, '__qualname__', '')}"


def _function_token(function: Callable[..., Any]) -> str:
    """``module:name#identity``; equal identities mean equal code with equal closures, within one process. One that is
    itself a type is marked as such."""
    if isinstance(function, functools.partial):
        inner = _function_token(function.func)
        return f"{inner}({_content(function.args)},{_content(sorted(function.keywords.items()))})"
    if isinstance(function, type):
        return f"{OF_TYPES[0]}{function.__module__}:{function.__qualname__}#{id(function):x}"
    plain = getattr(function, "__func__", function)
    name = f"{getattr(plain, '__module__', '')}:{getattr(plain, '__qualname__', type(plain).__qualname__)}"
    code = getattr(plain, "__code__", None)
    if code is None:
        return f"{name}#{id(plain):x}"
    closure = [_content(cell.cell_contents) for cell in plain.__closure__ or ()]
    return f"{name}#{id(code):x}/{'/'.join(closure)}/{_content(plain.__defaults__)}"


def _content(value: object) -> str:
    if value is None or type(value) in (bool, int, float, str):
        return repr(value).replace("#", "~")
    if isinstance(value, list | tuple):
        return "[" + ",".join(_content(item) for item in value) + "]"
    if isinstance(value, type):
        return f"{_class_name(value)}{id(value):x}"
    return f"{id(value):x}"
