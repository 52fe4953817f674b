"""Reading pydantic core schemas: what a model declares, before any of it is validated with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from flowstate_server.errors import FlowDefinitionError

CoreSchema = dict[str, Any]
Definitions = dict[str, CoreSchema]

_NO_SCHEMAS = frozenset(
    (
        "metadata",
        "serialization",
        "default",
        "default_factory",
        "function",
        "cls",
        "config",
        "computed_fields",
    )
)
_FIELDS = frozenset(("model-field", "typed-dict-field", "dataclass-field"))
_FUNCTIONS = frozenset(("function-before", "function-after", "function-wrap", "function-plain"))
_OWN_CONTEXT = frozenset(("model", "typed-dict", "dataclass", "definition-ref"))


@dataclass(frozen=True, slots=True)
class ModelParts:
    """A model taken apart: the core schema of each field, with its default if it has one, in the order declared."""

    fields: dict[str, CoreSchema]
    config: dict[str, Any]
    definitions: Definitions


def model_parts(model: type[BaseModel]) -> ModelParts:
    """Take a complete model apart.

    Raises:
        FlowDefinitionError: the model can't be a declaration of state.
    """
    try:
        model.model_rebuild()
    except (PydanticUserError, NameError) as error:
        raise FlowDefinitionError(f"{model.__qualname__} is not fully defined: {error}") from error
    definitions: Definitions = {}
    schema = _inside(dict(model.__pydantic_core_schema__), "model", definitions)
    fields = _inside(schema["schema"], "model-fields", definitions)["fields"]
    return ModelParts(
        {name: field["schema"] for name, field in fields.items()},
        dict(schema.get("config") or {}),
        definitions,
    )


def _inside(schema: CoreSchema, kind: str, definitions: Definitions) -> CoreSchema:
    while schema["type"] != kind:
        if schema["type"] == "definitions":
            definitions.update({definition["ref"]: definition for definition in schema["definitions"]})
        schema = definitions[schema["schema_ref"]] if schema["type"] == "definition-ref" else schema["schema"]
    return schema


def is_plain_model(schema: CoreSchema) -> bool:
    """Whether ``schema`` is a model's that is validated from its fields, by no function ahead of them."""
    definitions: Definitions = {}
    while schema["type"] in ("definitions", "definition-ref", "model", "function-after"):
        if schema["type"] == "definitions":
            definitions.update({definition["ref"]: definition for definition in schema["definitions"]})
        schema = definitions[schema["schema_ref"]] if schema["type"] == "definition-ref" else schema["schema"]
    return bool(schema["type"] == "model-fields")


def without_default(schema: CoreSchema) -> CoreSchema:
    return schema["schema"] if schema["type"] == "default" else schema


def has_type(schema: CoreSchema, kind: str, definitions: Definitions) -> bool:
    """Whether a schema of that type is anywhere in ``schema``."""
    return any(part["type"] == kind for part in walk(schema, definitions))


def has_code(schema: CoreSchema, definitions: Definitions) -> bool:
    """Whether Python functions take part in the validation."""
    return any(part["type"] in _FUNCTIONS for part in walk(schema, definitions))


def sees_siblings(schema: CoreSchema) -> bool:
    """Whether a validator of the field itself takes ``ValidationInfo``, by which it sees the fields ahead of it."""
    if schema["type"] in _FUNCTIONS and schema["function"]["type"] == "with-info":
        return True
    return schema["type"] not in _OWN_CONTEXT and any(sees_siblings(child) for child in _children(schema))


def aliased_field(schema: CoreSchema, definitions: Definitions) -> str | None:
    """The name of a field in ``schema`` whose JSON name differs from its own."""
    for part in walk(schema, definitions):
        fields = part.get("fields", ())
        pairs = (
            fields.items()
            if isinstance(fields, dict)
            else ((field.get("name", ""), field) for field in fields)
        )
        for name, field in pairs:
            if field["type"] in _FIELDS and is_aliased(field):
                return str(name)
    return None


def is_aliased(field: CoreSchema) -> bool:
    return bool(field.get("validation_alias") or field.get("serialization_alias"))


def walk(schema: CoreSchema, definitions: Definitions, seen: set[str] | None = None) -> Iterator[CoreSchema]:
    """``schema`` and every schema in it, each definition once."""
    seen = set() if seen is None else seen
    yield schema
    if schema["type"] == "definition-ref":
        reference = schema["schema_ref"]
        if reference not in seen and reference in definitions:
            seen.add(reference)
            yield from walk(definitions[reference], definitions, seen)
    for child in _children(schema):
        yield from walk(child, definitions, seen)


def _children(schema: CoreSchema) -> Iterator[CoreSchema]:
    for key, value in schema.items():
        if key not in _NO_SCHEMAS:
            yield from _schemas_in(value)


def _schemas_in(value: Any) -> Iterator[CoreSchema]:
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            yield value
        else:
            for item in value.values():
                yield from _schemas_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _schemas_in(item)
