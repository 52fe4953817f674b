"""The JSON Schema of a scope, for those who ask what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind, models_json_schema
from pydantic_core import to_jsonable_python

from flowstate_server.model.json_values import Json, JsonObject, canonical_json
from flowstate_server.schemas.pydantic.stored_form import stored_form
from flowstate_server.state.missing import MISSING, Missing
from flowstate_server.state.plain_json import Refused

_REFERENCE = "#/$defs/"
_SAID_ELSEWHERE = ("default", "title", "description", "examples")


class CanonicalJsonSchema(GenerateJsonSchema):
    """With sets in defaults and extras in one order, so that what is hashed of it is the same in every process."""

    def generate_inner(self, schema: Any) -> dict[str, Any]:
        metadata = schema.get("metadata") or {}
        extra = metadata.get("pydantic_js_extra")
        if extra is None:
            return super().generate_inner(schema)
        if isinstance(extra, dict):
            schema = {**schema, "metadata": {**metadata, "pydantic_js_extra": _in_order(extra)}}
        return cast(dict[str, Any], _in_order(super().generate_inner(schema)))

    def model_schema(self, schema: Any) -> dict[str, Any]:
        return cast(dict[str, Any], _in_order(super().model_schema(schema)))

    def dataclass_schema(self, schema: Any) -> dict[str, Any]:
        return cast(dict[str, Any], _in_order(super().dataclass_schema(schema)))

    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:
        return cast(dict[str, Any], _in_order(super().typed_dict_schema(schema)))

    def default_schema(self, schema: Any) -> dict[str, Any]:
        found = super().default_schema(schema)
        # Pydantic sorts by what Python takes for the order of values, and among sets that is none.
        if isinstance(found.get("default"), list) and isinstance(schema.get("default"), Set):
            found["default"].sort(key=canonical_json)
        return found

    def encode_default(self, dft: Any) -> Any:
        try:
            return stored_form(dft, super().encode_default(dft), str)
        except Refused:  # not finite: pydantic says what becomes of that
            return super().encode_default(dft)


def _in_order(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _in_order(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_in_order(item) for item in value]
    if isinstance(value, Set):
        return sorted(map(_in_order, value), key=lambda item: repr(to_jsonable_python(item)))
    return value


class _Lenient(CanonicalJsonSchema):
    """What has no JSON Schema (a validator may make anything of JSON) is any value, without a word."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        return {}

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        pass


def merged_json_schema(
    title: str,
    declarers: Mapping[str, Sequence[type[BaseModel]]],
    default: Callable[[str], Json | Missing],
    required: Callable[[str], bool],
) -> JsonObject:
    """An object schema with each field as its declarers have it (``allOf`` where they say different things) and the
    default that was kept."""
    models = list(dict.fromkeys(model for declaring in declarers.values() for model in declaring))
    references, definitions = _definitions(models)
    properties: dict[str, Json] = {}
    for name, declaring in declarers.items():
        property_ = _merged([definitions[references[model]]["properties"][name] for model in declaring])
        if "default" in property_:
            del property_["default"]
        if not required(name) and (value := default(name)) is not MISSING:
            property_["default"] = value
        properties[name] = property_
    schema: JsonObject = {"title": title, "type": "object", "properties": properties}
    if missing := [name for name in declarers if required(name)]:
        schema["required"] = cast(Json, missing)
    if used := _used(schema, definitions):
        schema["$defs"] = cast(Json, used)
    return schema


def _definitions(models: list[type[BaseModel]]) -> tuple[dict[type[BaseModel], str], dict[str, Any]]:
    if not models:
        return {}, {}
    found, document = models_json_schema(
        [(model, "validation") for model in models], by_alias=False, schema_generator=_Lenient
    )
    references = {model: found[model, "validation"]["$ref"].removeprefix(_REFERENCE) for model in models}
    return references, document["$defs"]


def _merged(declared: list[JsonObject]) -> JsonObject:
    different = {_essence(schema): schema for schema in declared}
    strict = [schema for schema in different.values() if not _allows_null(schema)] or list(different.values())
    return dict(strict[0]) if len(strict) == 1 else {"allOf": cast(Json, strict)}


def _essence(schema: JsonObject) -> bytes:
    return canonical_json({key: value for key, value in schema.items() if key not in _SAID_ELSEWHERE})


def _allows_null(schema: JsonObject) -> bool:
    choices = schema.get("anyOf")
    return isinstance(choices, list) and {"type": "null"} in choices


def _used(schema: Any, definitions: Mapping[str, Any]) -> dict[str, Any]:
    used: dict[str, Any] = {}
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                name = reference.removeprefix(_REFERENCE)
                if name not in used and name in definitions:
                    used[name] = definitions[name]
                    waiting.append(definitions[name])
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return dict(sorted(used.items()))
