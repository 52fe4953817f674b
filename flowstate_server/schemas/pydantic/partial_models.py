"""Pydantic's validators and serializers of any part of a model's fields; the model's own need all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import SchemaSerializer, SchemaValidator, core_schema

from flowstate_server.schemas.pydantic.core_schemas import (
    CoreSchema,
    ModelParts,
    for_reading,
    without_default,
)
from flowstate_server.schemas.pydantic.definitions import serializer_of
from flowstate_server.schemas.pydantic.json_mode import validator_of


def relaxed(parts: ModelParts) -> ModelParts:
    """``parts`` without pydantic's checks against clock and machine; itself if there are none."""
    fields = {name: for_reading(schema) for name, schema in parts.fields.items()}
    definitions = {name: for_reading(schema) for name, schema in parts.definitions.items()}
    same = all(fields[name] is schema for name, schema in parts.fields.items())
    if all(definitions[name] is schema for name, schema in parts.definitions.items()):
        return parts if same else ModelParts(fields, parts.config, parts.definitions)
    return ModelParts(fields, parts.config, definitions)


def readers_of_aged(parts: ModelParts) -> dict[str, Callable[..., Any]]:
    """What reads the fields that pydantic checks against clock or machine."""
    aged = relaxed(parts)
    return {
        name: validator(
            ModelParts({name: schema}, parts.config, aged.definitions), with_defaults=False, of_their_own=True
        ).validate_json
        for name, schema in aged.fields.items()
        if schema is not parts.fields[name] or aged.definitions is not parts.definitions
    }


def serializer(model: type[BaseModel], parts: ModelParts) -> SchemaSerializer:
    """What writes any part of the model's fields by their own serializers; the model's own is for output."""
    fields = {name: core_schema.model_field(cast(Any, schema)) for name, schema in parts.fields.items()}
    schema: core_schema.CoreSchema = core_schema.model_schema(
        model, core_schema.model_fields_schema(fields), config=cast(Any, parts.config)
    )
    return serializer_of(cast(CoreSchema, schema), parts.definitions, parts.config)


def validator(parts: ModelParts, *, with_defaults: bool, of_their_own: bool = False) -> SchemaValidator:
    """A validator of any part of the model's fields; the model itself needs all of them."""
    fields = {
        name: core_schema.typed_dict_field(
            cast(Any, schema if with_defaults else without_default(schema)), required=False
        )
        for name, schema in parts.fields.items()
    }
    schema: core_schema.CoreSchema = core_schema.typed_dict_schema(
        fields, extra_behavior="ignore", config=cast(Any, parts.config)
    )
    return validator_of(cast(CoreSchema, schema), parts.definitions, parts.config, of_their_own=of_their_own)
