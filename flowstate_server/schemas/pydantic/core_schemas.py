"""Reading pydantic core schemas: what a model declares, before any of it is validated with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
_HOLDERS = frozenset(("model-fields", "typed-dict", "dataclass-args"))
_FUNCTIONS = frozenset(("function-before", "function-after", "function-wrap", "function-plain"))
_OWN_CONTEXT = frozenset(("model", "typed-dict", "dataclass", "definition-ref"))
_INSIDE = {"lax-or-strict": "strict_schema", "json-or-python": "json_schema"}
_PASSED_THROUGH = frozenset(
    ("default", "nullable", "function-before", "function-after", "function-wrap", "model", "definitions")
)

_PLAIN = {"str": str, "int": int, "bool": bool}
_PLAIN_KEYS = frozenset(("type", "metadata", "schema", "default", "default_factory", "validate_default"))


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
    return any(_is_code(part) for part in walk(schema, definitions))


def classes_in(schema: CoreSchema, definitions: Definitions) -> frozenset[str]:
    """The names of the classes in it."""
    classes = (part.get("cls") for part in walk(schema, definitions))
    return frozenset(one.__name__ for one in classes if isinstance(one, type))


def _is_code(part: CoreSchema) -> bool:
    hook = part.get("post_init")
    own_hook = hook is True or (isinstance(hook, str) and hook != "init_private_attributes")
    chooses = part["type"] == "tagged-union" and callable(part["discriminator"])
    called = part.get("custom_init") or part.get("missing")
    return part["type"] in _FUNCTIONS or own_hook or chooses or bool(called)


def has_factory(schema: CoreSchema, definitions: Definitions) -> bool:
    """Whether a default is made by an author's function."""
    factories = [part.get("default_factory") for part in walk(schema, definitions)]
    return any(factory is not None and not is_pydantics(factory) for factory in factories)


def takes_anything(schema: CoreSchema, definitions: Definitions) -> bool:
    """Whether there is a place without a type in it, where pydantic makes JSON of whatever it finds."""
    return any(
        part["type"] in ("any", "function-plain") and not part.get("serialization")
        for part in walk(schema, definitions)
    )


def is_pydantics(function: Any) -> bool:
    """Whether ``function`` is one that pydantic brings along."""
    module = getattr(function, "__module__", None) or type(function).__module__
    return module.split(".")[0] in ("pydantic", "pydantic_core", "operator", "builtins")


def sees_siblings(schema: CoreSchema) -> bool:
    """Whether a validator of the field itself takes ``ValidationInfo``, by which it sees the fields ahead of it."""
    if schema["type"] in _FUNCTIONS and schema["function"]["type"] == "with-info":
        function = schema["function"]["function"]
        if not is_pydantics(getattr(function, "__func__", function)):
            return True
    return schema["type"] not in _OWN_CONTEXT and any(sees_siblings(child) for child in _children(schema))


def aliased_field(schema: CoreSchema, definitions: Definitions) -> str | None:
    """The name of a field in ``schema`` whose JSON name differs from its own."""
    for part in walk(schema, definitions):
        for name, field in fields_of(part):
            if field["type"] in _FIELDS and is_aliased(field):
                return name
    return None


def for_reading(schema: CoreSchema) -> CoreSchema:
    """``schema`` without pydantic's own checks against clock and machine: what was stored stays readable. It is the
    same object if it has none."""
    if schema["type"] == "function-after" and _checks_machine(schema["function"]):
        return for_reading(schema["schema"])
    if "now_op" in schema and schema["type"] in ("date", "datetime"):
        schema = {key: value for key, value in schema.items() if key != "now_op"}
    return mapped(schema, for_reading)


def mapped(
    schema: CoreSchema, change: Callable[[CoreSchema], CoreSchema], *, serialization: bool = False
) -> CoreSchema:
    """``schema`` with what ``change`` makes of the schemas directly in it; the same object if that is they.

    ``serialization`` takes those in that they are only written by.
    """
    left = _NO_SCHEMAS - {"serialization"} if serialization else _NO_SCHEMAS
    parts = {key: value if key in left else _mapped(value, change) for key, value in schema.items()}
    return schema if all(value is schema[key] for key, value in parts.items()) else parts


def _mapped(value: Any, change: Callable[[CoreSchema], CoreSchema]) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("type"), str):
            return change(value)
        members = {key: _mapped(item, change) for key, item in value.items()}
        return value if all(item is value[key] for key, item in members.items()) else members
    if type(value) in (list, tuple):
        items = [_mapped(item, change) for item in value]
        same = all(item is other for item, other in zip(items, value, strict=True))
        return value if same else type(value)(items)
    return value


def _checks_machine(holder: Any) -> bool:
    function = holder.get("function") if isinstance(holder, dict) else None
    name = getattr(function, "__qualname__", "")
    return is_pydantics(function) and name.startswith("PathType.validate_")


def fields_of(schema: CoreSchema) -> list[tuple[str, CoreSchema]]:
    """The fields that ``schema`` itself holds, if it is one of fields."""
    if schema["type"] not in _HOLDERS:
        return []
    fields = schema["fields"]
    return list(fields.items()) if isinstance(fields, dict) else [(field["name"], field) for field in fields]


def deque_as_function(schema: CoreSchema) -> CoreSchema | None:
    """The function by which pydantic 2.13 makes a deque of a list, if ``schema`` is a deque's: strictly it validates
    twice, and refuses the second time what it has made of deques inside."""
    lax: CoreSchema = schema.get("lax_schema") or {}
    made_by = lax.get("function") or {}
    is_deque = getattr(made_by.get("function"), "__name__", "") == "deque_validator"
    return lax if is_deque and is_pydantics(made_by["function"]) else None


def as_named_tuple(schema: CoreSchema) -> CoreSchema:
    """``schema``; as pydantic has had named tuples since 2.14 if it is that of one by 2.13, a call of its class."""
    made_by = schema["function"] if schema["type"] == "call" else None
    if not (isinstance(made_by, type) and issubclass(made_by, tuple)):
        return schema
    return {"type": "named-tuple", "cls": made_by, "fields": schema["arguments_schema"]["arguments_schema"]}


def container_of(schema: CoreSchema, definitions: Definitions) -> CoreSchema:
    """The schema of the list, map or other type that is in ``schema``, past defaults, ``Optional`` and validators."""
    for _ in range(100):  # a definition may lead to itself
        kind = schema["type"]
        if kind == "definition-ref":
            schema = definitions[schema["schema_ref"]]
        elif kind in _INSIDE:
            schema = deque_as_function(schema) or schema[_INSIDE[kind]]
        elif kind in _PASSED_THROUGH and (kind != "model" or schema.get("root_model")):
            schema = schema["schema"]
        else:
            break
    return schema


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


def plain_type(schema: CoreSchema, config: dict[str, Any]) -> type | None:
    """The Python type whose every value is stored as it is, ``None`` if there is none."""
    bare = without_default(schema)
    kind = _PLAIN.get(bare["type"])
    if not (schema.keys() <= _PLAIN_KEYS and bare.keys() <= {"type", "metadata"}):
        return None
    return None if kind is str and any(key.startswith("str_") for key in config) else kind
