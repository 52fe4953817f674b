"""Of which fields it is certain, by their types, that whatever reads at all reads as it is stored."""

from __future__ import annotations

from typing import Any

from flowstate_server.schemas.pydantic.core_schemas import CoreSchema, without_default

_SIZES = frozenset({"type", "metadata", "strict", "min_length", "max_length"})
# All that these may hold: limits and what is in them. What else there may be, or come, could make another value.
_ALLOWED = {
    "any": frozenset({"type", "metadata"}),
    "none": frozenset({"type", "metadata"}),
    "bool": frozenset({"type", "metadata", "strict"}),
    "int": frozenset({"type", "metadata", "strict", "ge", "gt", "le", "lt", "multiple_of"}),
    "str": _SIZES | {"pattern"},
    "nullable": frozenset({"type", "metadata", "schema"}),
    "list": _SIZES | {"items_schema"},
    "dict": _SIZES | {"keys_schema", "values_schema"},
}


def keeps_form(schema: CoreSchema, config: dict[str, Any]) -> bool:
    """Whether strict validation of JSON by ``schema`` either refuses a value or gives the same JSON."""
    if any(key.startswith(("str_", "ser_")) for key in config):
        return False
    if schema["type"] == "default" and not schema.keys() <= {"type", "schema", "default", "metadata"}:
        return False
    return _keeps(without_default(schema))


def is_map(schema: CoreSchema, config: dict[str, Any]) -> bool:
    """Whether it is a map whose keys are kept as they are, and in which no record hangs on another one."""
    inner = without_default(schema)
    if inner["type"] == "nullable":
        inner = inner["schema"]
    keys = inner.get("keys_schema", {"type": "any"})
    return (
        inner["type"] == "dict"
        and inner.keys() <= {"type", "metadata", "strict", "keys_schema", "values_schema"}
        and keys["type"] == "str"
        and keeps_form(keys, config)
    )


def _keeps(schema: CoreSchema) -> bool:
    if schema["type"] not in _ALLOWED or not schema.keys() <= _ALLOWED[schema["type"]]:
        return False
    if "keys_schema" in schema and schema["keys_schema"]["type"] != "str":
        return False
    inner = [
        schema[key] for key in ("schema", "items_schema", "keys_schema", "values_schema") if key in schema
    ]
    return all(map(_keeps, inner))
