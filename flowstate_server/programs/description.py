"""What a flow is, as plain data: all that others have to know of it, in whatever language it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from flowstate_server.errors import ActionNotFoundError
from flowstate_server.model.clock import Seconds
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json, JsonObject, canonical_json
from flowstate_server.model.nearest import nearest_or_known
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.declarations import (
    SHARED_SCOPES,
    FlowDeclaration,
    ResourceDeclaration,
    declared_by,
)
from flowstate_server.programs.keeping import Keeping
from flowstate_server.programs.resource_index import ResourceIndex
from flowstate_server.programs.resources import ResourceDescription
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.schemas.shape import canonical_shape


@frozen
class ActionDescription:
    """An action that clients can call. The schemas are JSON Schemas (draft 2020-12), ``timeout`` is in seconds.

    ``resources`` are the single ones that its run starts from, by scope and name: their states are loaded with it.
    """

    name: str
    input_schema: JsonObject
    output_schema: JsonObject
    description: str = ""
    timeout: Seconds | None = None
    resources: tuple[tuple[ScopeKind, str], ...] = ()


@frozen
class ShownNames:
    """What clients may see of a scope: fields that are passed on as they are, and values that the program derives.
    Of anything not named here nothing leaves the server on the client plane."""

    exposed: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()


Upgrade = Callable[[JsonObject], JsonObject]
"""From the fields that older generations of a flow stored to those of this one.

Pure, quick, and idempotent: it may be given what it has made before, and may run inside the store's transaction. It
owns what it is given. A field that it doesn't give is removed; one that it gives otherwise than it got it is validated.
"""


@frozen
class Generation:
    """What a flow stores in a scope is of one generation, which grows whenever older records must be read otherwise.

    ``number`` is at least 1. Without ``upgrade`` what older generations stored is read as it is.
    """

    number: int = 1
    upgrade: Upgrade | None = None


FIRST_GENERATION = Generation()


@dataclass(frozen=True, eq=False, kw_only=True)
class FlowDescription:
    """A flow as its host, its callers and other flows see it.

    Args:
        kind: its name on the server.
        actions: by name.
        schemas: of all four scopes.
        generations: of what it stores, of the scopes where it is not the first.
        shown: of the scopes that have something to show.
        description: for people and models that choose among flows.
        isolated: the scopes, of user and org, of which the flow keeps a record of its own.
        history_window: completed turns that a run looks back on at most.
        persist_state_changes: keep ``state_change`` events like the others, instead of sweeping them after a while.
        keeping: how long its sessions, and what is in them, are kept.
        cas_attempts: how often a compare-and-swap of a run tries, but for 2 s at least, before it gives up.
        resources: that it declares; no two of one scope cover the same name.
    """

    kind: str
    actions: Mapping[str, ActionDescription]
    schemas: Mapping[ScopeKind, ScopeSchema]
    shown: Mapping[ScopeKind, ShownNames]
    description: str = ""
    isolated: frozenset[ScopeKind] = frozenset()
    history_window: int = 50
    persist_state_changes: bool = False
    cas_attempts: int = 8
    keeping: Keeping = Keeping()  # noqa: RUF009 - frozen
    generations: Mapping[ScopeKind, Generation] = field(default_factory=lambda: MappingProxyType({}))
    resources: tuple[ResourceDescription, ...] = ()

    def generation(self, scope: ScopeKind) -> Generation:
        return self.generations.get(scope, FIRST_GENERATION)

    def action(self, name: str) -> ActionDescription:
        """
        Raises:
            ActionNotFoundError: there is no such action.
        """
        action = self.actions.get(name)
        if action is None:
            raise ActionNotFoundError(self.kind, name, nearest_or_known(name, self.actions))
        return action

    def isolates(self, scope: ScopeKind) -> bool:
        """Whether the flow keeps its own record of a scope that other flows share."""
        return scope in self.isolated

    @cached_property
    def resource_index(self) -> ResourceIndex:
        return ResourceIndex(self.resources)

    @cached_property
    def declarations(self) -> Mapping[ScopeKind, Mapping[str, str]]:
        """For each field of each scope what is equal for those who declare it alike, in every process."""
        return {
            scope: {
                name: hashlib.sha256(canonical_shape(schema.shape(name), exact=False)).hexdigest()[:8]
                for name in schema.fields
            }
            for scope, schema in self.schemas.items()
        }

    @cached_property
    def shared(self) -> FlowDeclaration:
        """What the flow declares of records that it shares with others, as plain data."""
        scopes = {}
        for scope in SHARED_SCOPES:
            if self.schemas[scope].fields and not self.isolates(scope):
                generation = self.generation(scope)
                scopes[scope] = declared_by(
                    self.schemas[scope],
                    generation=generation.number,
                    upgrades=generation.upgrade is not None,
                )
        return FlowDeclaration(
            self.kind, MappingProxyType(scopes), MappingProxyType(self._shared_resources())
        )

    def _shared_resources(self) -> dict[ScopeKind, dict[str, ResourceDeclaration]]:
        found: dict[ScopeKind, dict[str, ResourceDeclaration]] = {}
        for one in self.resources:
            if one.scope in SHARED_SCOPES and not self.isolates(one.scope):
                state = declared_by(one.schema)
                declared = ResourceDeclaration(state, one.max_instances, one.evicts)
                found.setdefault(one.scope, {})[one.name] = declared
        return found

    @cached_property
    def revision(self) -> str:
        """A hash of everything that a client could see of the flow: the same in every process that defines it so."""
        return hashlib.sha256(canonical_json(self._visible())).hexdigest()

    def _visible(self) -> JsonObject:
        return {
            "kind": self.kind,
            "description": self.description,
            "actions": {
                name: {
                    "description": action.description,
                    "input": _settled(action.input_schema),
                    "output": _settled(action.output_schema),
                    "timeout": action.timeout,
                }
                for name, action in self.actions.items()
            },
            "schemas": {scope.value: schema.hash for scope, schema in self.schemas.items()},
            "client_views": {
                scope.value: {"expose": [*sorted(names.exposed)], "derived": [*sorted(names.derived)]}
                for scope, names in self.shown.items()
            },
            "generations": {scope.value: self.generation(scope).number for scope in ScopeKind},
            "isolated": [scope.value for scope in ScopeKind if self.isolates(scope)],
            "persist_state_changes": self.persist_state_changes,
            **({"resources": [_seen(one) for one in self.resources]} if self.resources else {}),
        }


def _seen(resource: ResourceDescription) -> Json:
    shown = resource.shown
    return {
        "name": resource.name,
        "scope": resource.scope.value,
        "schema": resource.schema.hash,
        "shown": None
        if shown is None
        else [[*sorted(shown.exposed)], shown.computed, shown.content, shown.live],
    }


def _settled(schema: Json) -> Json:
    """``schema`` with examples in canonical order: who made it may have listed sets among them in that of a process."""
    if isinstance(schema, list):
        return [_settled(item) for item in schema]
    if isinstance(schema, dict):
        return {
            name: _sorted(value) if name == "examples" and isinstance(value, list) else _settled(value)
            for name, value in schema.items()
        }
    return schema


def _sorted(value: Json) -> Json:
    if isinstance(value, list):
        return sorted(map(_sorted, value), key=canonical_json)
    if isinstance(value, dict):
        return {name: _sorted(item) for name, item in value.items()}
    return value
