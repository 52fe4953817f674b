"""Core schemas that validate JSON as JSON also behind a validator that comes before its type.

What such a function hands on is a Python value to pydantic, of which it refuses strictly what JSON has no type for: a
date in a text, a set in a list. A field could be declared and never be written. What is JSON still is read as that.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from functools import cached_property
from typing import Any, cast

from pydantic_core import SchemaValidator, core_schema

from flowstate_server.model.json_values import encode_json
from flowstate_server.schemas.pydantic.core_schemas import CoreSchema, Definitions, is_pydantics, mapped
from flowstate_server.schemas.pydantic.definitions import Config, defined

_AHEAD = frozenset(("function-before", "function-wrap"))
_FUNCTIONS = frozenset((*_AHEAD, "function-after"))
_ALIKE = frozenset(("str", "int", "bool", "float", "none", "any", "literal", "enum", "function-plain"))
"""Types that are validated alike from JSON and from what Python makes of it."""


def is_json(value: object) -> bool:
    """Whether ``value`` is made of JSON's own types."""
    if type(value) is dict:
        return all(type(key) is str and is_json(item) for key, item in value.items())
    if type(value) is list:
        return all(map(is_json, value))
    return value is None or type(value) in (str, int, bool, float)


def validator_of(
    schema: CoreSchema,
    definitions: Definitions | None = None,
    config: Config = None,
    *,
    of_their_own: bool = False,
) -> SchemaValidator:
    """A validator that validates JSON as JSON.

    ``config`` is that of what is in no model. ``of_their_own`` tells that nested models, or the schema if it is a
    model's, can't be validated by what they were made with, since something was changed in them.
    """
    whole = defined(schema, definitions or {}, config)
    walk = _Rewriting()
    made = walk.rewritten(whole, config)
    walk.definitions.extend(made.get("definitions", ()))
    return SchemaValidator(cast(Any, made), cast(Any, config), made is whole and not of_their_own)


class _Rewriting:
    def __init__(self) -> None:
        self.definitions: list[CoreSchema] = []

    def rewritten(self, schema: CoreSchema, config: Config, *, behind: bool = False) -> CoreSchema:
        """``behind`` tells that a function hands on what it validates."""
        config = schema.get("config", config)
        schema = _validated_once(schema)
        kind = schema["type"]
        ahead = kind in _AHEAD or (behind and kind == "function-after")
        made = mapped(schema, lambda inside: self.rewritten(inside, config, behind=ahead))
        if not behind or kind in _FUNCTIONS or kind in _ALIKE:
            return made
        inside = _Inside(made, config, self.definitions)
        return cast(CoreSchema, core_schema.no_info_plain_validator_function(inside))


def _validated_once(schema: CoreSchema) -> CoreSchema:
    """A ``defaultdict`` or the like, which pydantic validates twice strictly: the second time what the first has made,
    of which a validator in it makes another thing again."""
    lax: CoreSchema = schema.get("lax_schema") or {}
    if (
        lax.get("type") not in ("function-wrap", "function-after")
        or schema["strict_schema"]["type"] != "chain"
    ):
        return schema
    function = lax["function"]["function"]
    made_by = getattr(function, "func", function)
    return lax if is_pydantics(made_by) or made_by in (OrderedDict, Counter) else schema


class _Inside:
    """Validates what a function hands on."""

    def __init__(self, schema: CoreSchema, config: Config, definitions: list[CoreSchema]) -> None:
        self._schema = schema
        self._config = config
        self._definitions = definitions

    @cached_property
    def _validator(self) -> SchemaValidator:
        schema = cast(core_schema.CoreSchema, self._schema)
        if self._definitions:
            schema = core_schema.definitions_schema(schema, cast(Any, self._definitions))
        return SchemaValidator(schema, cast(Any, self._config), False)

    def __call__(self, value: object) -> object:
        if is_json(value):
            try:
                text = encode_json(cast(Any, value))
            except TypeError:  # an integer too large, a text with a lone surrogate
                pass
            else:
                return self._validator.validate_json(text, strict=True)
        return self._validator.validate_python(value, strict=True)
