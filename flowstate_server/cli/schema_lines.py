"""A JSON Schema as lines for people: names, types, and what is required."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flowstate_server.cli.terminal_text import plain, quoted

# Models within models beyond it are told by their name. Chosen.
_DEEPEST = 3

_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "like {}",
}


def schema_lines(schema: Any, indent: str = "  ") -> Iterator[tuple[str, str]]:
    """``("  message", "string, required")`` for each field of an object, those of objects in it beneath; nothing for
    what is no object."""
    whole = schema if isinstance(schema, dict) else {}
    yield from _fields(whole, whole.get("$defs") or {}, indent, 1)


def type_words(schema: Any) -> str:
    """What kind of value: ``string``, ``list of integer``, ``"a" | "b"``, ``object``."""
    whole = schema if isinstance(schema, dict) else {}
    return _type(whole, whole.get("$defs") or {})


def _fields(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], indent: str, depth: int
) -> Iterator[tuple[str, str]]:
    schema = _resolved(schema, definitions)
    required = schema.get("required") or ()
    for name, field in (schema.get("properties") or {}).items():
        field = field if isinstance(field, dict) else {}
        yield f"{indent}{plain(name)}", ", ".join(_words(field, definitions, name in required))
        inner = _inner(field, definitions)
        if inner is not None and depth < _DEEPEST:
            yield from _fields(inner, definitions, f"{indent}  ", depth + 1)


def _words(field: Mapping[str, Any], definitions: Mapping[str, Any], required: bool) -> Iterator[str]:
    yield _type(field, definitions)
    resolved = _resolved(field, definitions)
    yield from (_bound(words, resolved[bound]) for bound, words in _BOUNDS.items() if bound in resolved)
    if required:
        yield "required"
    elif "default" in field:
        yield f"default {quoted(field['default'])}"
    if field.get("description"):
        yield plain(field["description"])


def _bound(words: str, value: Any) -> str:
    return (words.removesuffix("s") if value == 1 else words).format(quoted(value))


def _type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    schema = _resolved(schema, definitions)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(_type(one, definitions) for one in schema[several])
    if "enum" in schema:
        return " | ".join(map(quoted, schema["enum"]))
    if "const" in schema:
        return quoted(schema["const"])
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " | ".join(kind)
    if kind == "array":
        return f"list of {_type(schema.get('items') or {}, definitions)}"
    if kind == "object":
        values = schema.get("additionalProperties")
        if isinstance(values, dict) and not schema.get("properties"):
            return f"map of {_type(values, definitions)}"
        return plain(schema.get("title", "object")) if schema.get("properties") else "object"
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _inner(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The object in a field, in its list or its map, whose fields are worth telling."""
    schema = _resolved(field, definitions)
    if schema.get("properties"):
        return schema
    for place in ("items", "additionalProperties"):
        if isinstance(schema.get(place), dict):
            return _inner(schema[place], definitions)
    choices = [one for one in schema.get("anyOf") or () if one.get("type") != "null"]
    return _inner(choices[0], definitions) if len(choices) == 1 else None


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    found = definitions.get(name)
    return found if isinstance(found, dict) else schema
