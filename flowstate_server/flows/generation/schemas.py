"""Types as models are told of them: providers take the schemas of objects, and no others."""

from __future__ import annotations

from flowstate_server.model.json_values import Json, JsonObject

INPUT = "input"
"""The one argument of a tool whose block takes no object."""

_NOTHING: JsonObject = {"type": "object", "properties": {}, "additionalProperties": False}


def object_schema(schema: JsonObject) -> JsonObject | None:
    """``schema`` if it is that of an object, with what it refers to at its root put there; else ``None``."""
    root = schema
    if isinstance(reference := schema.get("$ref"), str):
        root = _member(_member(schema, "$defs"), reference.removeprefix("#/$defs/"))
    if root.get("type") != "object":
        return None
    return root if root is schema else {**root, "$defs": schema["$defs"]}


def wrapped_schema(schema: JsonObject) -> JsonObject:
    """The schema of an object with one member, :data:`INPUT`, that is of ``schema``; with none for what is nothing."""
    if schema.get("type") == "null":
        return _NOTHING
    inner = {name: part for name, part in schema.items() if name != "$defs"}
    wrapped: JsonObject = {
        "type": "object",
        "properties": {INPUT: inner},
        "required": [INPUT],
        "additionalProperties": False,
    }
    return {**wrapped, "$defs": schema["$defs"]} if "$defs" in schema else wrapped


def _member(value: JsonObject, name: str) -> JsonObject:
    found: Json = value.get(name)
    return found if isinstance(found, dict) else {}
