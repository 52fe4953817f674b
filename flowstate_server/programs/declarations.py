"""What flows declare of records that they share, as plain data: compared within a server, and recorded for others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, cast

from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json, JsonObject, canonical_json
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.author_code import called
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.schemas.shape import MAPS, OBJECTS, Shape, nullable, portable_shape
from flowstate_server.state.json_pointer import Pointer, format_pointer
from flowstate_server.state.missing import MISSING

SHARED_SCOPES = (ScopeKind.USER, ScopeKind.ORG)

ANY_KEY = "*"
"""Stands for the keys of a map in the places of defaults."""


@frozen
class DeclaredField:
    """``defaults`` are those of the field, at the pointer ``""``, and of what is in it; a ``drawn`` field has none of
    its own: each record gets another first value."""

    shape: Shape
    defaults: Mapping[str, Json]
    drawn: bool = False

    @property
    def required(self) -> bool:
        """Whether nobody can read it before somebody has written it, and it can't be null."""
        return "" not in self.defaults and not self.drawn and not nullable(self.shape)


@frozen
class ScopeDeclaration:
    """What a flow declares in one scope. ``upgrades``: it makes of what older generations stored what it reads."""

    members: Mapping[str, DeclaredField]
    generation: int = 1
    upgrades: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """The names, in order: whoever compares goes by it, and finds the same whichever flow comes first."""
        return tuple(sorted(self.members))

    def declares(self, name: str, /) -> bool:
        return name in self.members

    def shape(self, name: str, /) -> Shape:
        return self.members[name].shape


@frozen
class ResourceDeclaration:
    """A resource, or a collection, that a flow shares: its state, and how many there may be."""

    state: ScopeDeclaration
    max_instances: int | None = None
    evicts: bool = False


@frozen
class FlowDeclaration:
    """What a flow declares of records that it shares. A scope that it isolates, or declares nothing in, is absent.

    ``resources`` are those of shared scopes, by name.
    """

    kind: str
    scopes: Mapping[ScopeKind, ScopeDeclaration]
    resources: Mapping[ScopeKind, Mapping[str, ResourceDeclaration]] = field(default_factory=dict)


def declared_by(schema: ScopeSchema, *, generation: int = 1, upgrades: bool = False) -> ScopeDeclaration:
    """What ``schema`` declares."""
    drawn = frozenset(schema.drawn)
    members = {
        name: DeclaredField(
            schema.shape(name), dict(_defaults(schema, (name,), schema.shape(name))), name in drawn
        )
        for name in schema.fields
    }
    return ScopeDeclaration(members, generation, upgrades)


def _defaults(schema: ScopeSchema, place: Pointer, shape: Shape) -> Iterator[tuple[str, Json]]:
    if shape.get("made") is not True:
        try:
            value = called(schema.default_at, place)
        except Exception:  # a factory of an author, which fails where the default is needed
            value = MISSING
        if value is not MISSING:
            yield format_pointer(place[1:]), value
    while shape["type"] in ("nullable", "default"):
        shape = shape["of"]
    if shape["type"] in OBJECTS:
        for name, member in shape["fields"].items():
            yield from _defaults(schema, (*place, name), member)
    elif shape["type"] in MAPS and "of" in shape:
        yield from _defaults(schema, (*place, ANY_KEY), shape["of"])


def encode_declaration(flow: FlowDeclaration) -> JsonObject:
    """As it is recorded. What tells functions apart within a process only is left out."""
    encoded: JsonObject = {
        "kind": flow.kind,
        "scopes": {scope.value: _encoded(declared) for scope, declared in flow.scopes.items()},
    }
    if flow.resources:
        encoded["resources"] = {
            scope.value: {
                name: {
                    "state": _encoded(one.state),
                    "max_instances": one.max_instances,
                    "evicts": one.evicts,
                }
                for name, one in declared.items()
            }
            for scope, declared in flow.resources.items()
        }
    return encoded


def decode_declaration(value: Json) -> FlowDeclaration:
    """What :func:`encode_declaration` gave; members that a later release adds are passed over.

    Raises:
        LookupError, TypeError, ValueError: it is none.
    """
    given = cast("dict[str, Any]", value)
    return FlowDeclaration(
        str(given["kind"]),
        {ScopeKind(scope): _decoded(declared) for scope, declared in given["scopes"].items()},
        {
            ScopeKind(scope): {
                name: ResourceDeclaration(_decoded(one["state"]), one["max_instances"], bool(one["evicts"]))
                for name, one in declared.items()
            }
            for scope, declared in given.get("resources", {}).items()
        },
    )


def _encoded(declared: ScopeDeclaration) -> JsonObject:
    return {
        "generation": declared.generation,
        "upgrades": declared.upgrades,
        "fields": {
            name: {
                "shape": cast(Json, portable_shape(member.shape)),
                "defaults": dict(member.defaults),
                "drawn": member.drawn,
            }
            for name, member in declared.members.items()
        },
    }


def _decoded(declared: dict[str, Any]) -> ScopeDeclaration:
    return ScopeDeclaration(
        {
            name: DeclaredField(member["shape"], member["defaults"], bool(member["drawn"]))
            for name, member in declared["fields"].items()
        },
        int(declared["generation"]),
        bool(declared["upgrades"]),
    )


def portable(flow: FlowDeclaration) -> FlowDeclaration:
    """``flow`` as another process sees it."""
    return decode_declaration(encode_declaration(flow))


def declaration_hash(flow: FlowDeclaration) -> str:
    """Equal for equal declarations, in every process."""
    return hashlib.sha256(canonical_json(encode_declaration(flow))).hexdigest()[:32]
