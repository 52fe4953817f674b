"""Definitions of core schemas: types that are used several times, or in themselves.

Pydantic builds them by the configuration of the whole, and a nested model with its own validator and serializer, where
its own configuration counts. Here nested models are built anew with the whole, so that a definition has to be there
for each configuration by which it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import SchemaSerializer, core_schema

from flowstate_server.schemas.pydantic.core_schemas import CoreSchema, Definitions, mapped

Config = Mapping[str, Any] | None

_CONFIGURED = frozenset(("model", "dataclass"))
"""What is built by its own configuration, whatever that of the whole is."""


def serializer_of(schema: CoreSchema, definitions: Definitions, config: Config = None) -> SchemaSerializer:
    """A serializer by the schema alone: not by a model's own, which is for the whole of it.

    ``config`` is that of what is in no model.
    """
    return SchemaSerializer(cast(Any, defined(schema, definitions, config)), cast(Any, config), False)


def defined(schema: CoreSchema, definitions: Definitions, config: Config) -> CoreSchema:
    """``schema`` with the ``definitions`` that it uses, each as often as it is used by another configuration.

    ``config`` is that of what is in no model.
    """
    scopes = _Scopes(definitions)
    inside = scopes.placed(schema, scopes.of(config))
    whole = core_schema.definitions_schema(cast(Any, inside), cast(Any, scopes.made()))
    return cast(CoreSchema, whole) if whole["definitions"] else inside


class _Scopes:
    def __init__(self, definitions: Definitions) -> None:
        self._definitions = dict(definitions)
        self._configs: list[dict[str, Any]] = []
        self._placed: dict[str, tuple[int, CoreSchema]] = {}

    def of(self, config: Config) -> int:
        """The number of the scope of what is built by ``config``."""
        settings = {key: value for key, value in (config or {}).items() if key != "title"}
        if settings not in self._configs:
            self._configs.append(settings)
        return self._configs.index(settings)

    def placed(self, schema: CoreSchema, scope: int) -> CoreSchema:
        """``schema`` as it refers to the definitions of ``scope``, and of others where models are in it."""
        kind = schema["type"]
        if kind == "definitions":
            self._definitions.update({part["ref"]: part for part in schema["definitions"]})
            return self.placed(schema["schema"], scope)
        if kind == "definition-ref":
            return {**schema, "schema_ref": self._name(schema["schema_ref"], scope)}
        if kind in _CONFIGURED:
            scope = self.of(schema.get("config"))
        return mapped(schema, lambda part: self.placed(part, scope), serialization=True)

    def _name(self, ref: str, scope: int) -> str:
        name = f"{ref}@{scope}"
        if name not in self._placed:
            self._placed[name] = scope, {}  # a definition may lead to itself
            self._placed[name] = scope, {**self.placed(self._definitions[ref], scope), "ref": name}
        return name

    def made(self) -> list[CoreSchema]:
        """The definitions of each scope, in a model that is there to have its configuration."""
        holders = []
        for scope, config in enumerate(self._configs):
            if parts := [part for of, part in self._placed.values() if of == scope]:
                held = core_schema.definitions_schema(core_schema.any_schema(), cast(Any, parts))
                holders.append(
                    core_schema.model_schema(_Holder, held, config=cast(Any, config), ref=f"@{scope}")
                )
        return cast(list[CoreSchema], holders)


class _Holder:
    """The class of no value."""
