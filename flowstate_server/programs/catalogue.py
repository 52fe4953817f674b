"""The flows that a server hosts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar as PlainTypeVar

from typing_extensions import TypeVar

from flowstate_server.errors import CrossFlowSchemaConflictError, FlowDefinitionError, FlowNotFoundError
from flowstate_server.model.nearest import nearest_or_known
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.description import FlowDescription
from flowstate_server.programs.program import HostedFlow
from flowstate_server.schemas.comparison import (
    SHAPE,
    VALUES,
    Discrepancy,
    part_by_validators_alone,
    same_shape,
)
from flowstate_server.schemas.scope_schema import ScopeSchema

T = PlainTypeVar("T")
FlowT_co = TypeVar("FlowT_co", bound=HostedFlow, default=HostedFlow, covariant=True)

UPGRADES = "incompatible-upgrades"
_log = logging.getLogger(__name__)
_SHARED_SCOPES = (ScopeKind.USER, ScopeKind.ORG)


class Catalogue(Generic[FlowT_co]):
    """Flows by kind; iterating goes in order of kind.

    Flows share the records of users and orgs unless they isolate them, so whatever two flows declare there has to
    agree. In this release it has to be the same: equal fields, and no field that only one of them declares; where only
    functions that validate a field differ, the log has a warning. A flow that declares nothing in a scope, or isolates
    it, agrees with every other one there.
    """

    def __init__(self, flows: Iterable[FlowT_co] = ()) -> None:
        self._flows: dict[str, FlowT_co] = {}
        self._remembered: dict[Hashable, Any] = {}
        for flow in flows:
            self.register(flow)

    def register(self, flow: FlowT_co) -> None:  # type: ignore[misc]  # who is handed a catalogue only reads it
        """Add ``flow``. What is refused leaves no trace.

        Raises:
            FlowDefinitionError: a flow of that kind is registered.
            CrossFlowSchemaConflictError: a registered flow that shares the user or org scope declares it differently,
                or upgrades a field that this one upgrades, too.
        """
        if not isinstance(flow, HostedFlow):
            raise FlowDefinitionError(f"only flows can be registered, not {type(flow).__name__}")
        described = flow.described
        if described.kind in self._flows:
            raise FlowDefinitionError(f'a flow of the kind "{described.kind}" is registered already')
        for scope in _SHARED_SCOPES:
            for other in self:
                _check_agreement(scope, other.described, described)
        self._flows[described.kind] = flow
        self._remembered.clear()

    def unregister(self, kind: str) -> FlowT_co:
        """Remove a flow; it takes no part in later checks.

        Raises:
            FlowNotFoundError: no such flow.
        """
        flow = self.get(kind)
        del self._flows[kind]
        self._remembered.clear()
        return flow

    def find(self, kind: str) -> FlowT_co | None:
        return self._flows.get(kind)

    def get(self, kind: str) -> FlowT_co:
        """
        Raises:
            FlowNotFoundError: no such flow.
        """
        flow = self._flows.get(kind)
        if flow is None:
            raise FlowNotFoundError(kind, nearest_or_known(kind, self._flows))
        return flow

    def sharing(self, scope: ScopeKind, flow: FlowDescription | None) -> Sequence[FlowDescription]:
        """The flows whose fields are in one record of ``scope``, the one that ``flow`` works on, in order of kind.

        ``None`` stands for any flow that does not isolate the scope.
        """
        if flow is not None and (scope not in _SHARED_SCOPES or flow.isolates(scope)):
            return (flow,)
        found = {
            kind: described
            for kind, hosted in self._flows.items()
            if (described := hosted.described).schemas[scope].fields and not described.isolates(scope)
        }
        if flow is not None:
            found[flow.kind] = flow
        return [found[kind] for kind in sorted(found)]

    def remembered(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` makes of the flows that are registered, made once until flows come or go: every call asks."""
        found: T | None = self._remembered.get(key)
        if found is None:
            found = self._remembered[key] = make()
        return found

    def kinds(self) -> list[str]:
        """In order."""
        return sorted(self._flows)

    def __iter__(self) -> Iterator[FlowT_co]:
        return iter([self._flows[kind] for kind in self.kinds()])

    def __len__(self) -> int:
        return len(self._flows)

    def __contains__(self, kind: object) -> bool:
        return kind in self._flows


def _check_agreement(scope: ScopeKind, registered: FlowDescription, flow: FlowDescription) -> None:
    if registered.isolates(scope) or flow.isolates(scope):
        return
    one, other = registered.schemas[scope], flow.schemas[scope]
    if not one.fields or not other.fields:
        return
    found = [*_partings(scope, registered, flow), *_one_sided(one, other, (registered.kind, flow.kind))]
    if one.hash != other.hash:
        found += _other_defaults(one, other)
    if all(described.generation(scope).upgrade is not None for described in (registered, flow)):
        found += _upgraded_by_both(one, other)
    for difference in found[:1]:
        raise CrossFlowSchemaConflictError(
            problem=difference.detail,
            scope=scope,
            field=difference.field,
            flow_a=registered.kind,
            flow_b=flow.kind,
            reason=difference.reason,
        )


def _partings(scope: ScopeKind, registered: FlowDescription, flow: FlowDescription) -> Iterator[Discrepancy]:
    """The fields that both declare and not alike, but for functions that validate: of those a warning tells."""
    one, other = registered.schemas[scope], flow.schemas[scope]
    for found in same_shape(one, other):
        if part_by_validators_alone(one.shape(found.field), other.shape(found.field)):
            _log.warning(
                'flows "%s" and "%s" share the %s state field "%s" and validate it differently (%s): what one of '
                "them writes, the other one may fail to read",
                registered.kind,
                flow.kind,
                scope,
                found.field,
                found.detail,
            )
        else:
            yield found


def _one_sided(one: ScopeSchema, other: ScopeSchema, names: tuple[str, str]) -> Iterator[Discrepancy]:
    for schema, counterpart, name in ((one, other, names[0]), (other, one, names[1])):
        for field in schema.fields:
            if not counterpart.declares(field):
                yield Discrepancy(field, SHAPE, f'declared by flow "{name}" only')


def _upgraded_by_both(one: ScopeSchema, other: ScopeSchema) -> Iterator[Discrepancy]:
    """What an upgrade changes can't be seen from outside: it may change every field that its flow declares."""
    for field in one.fields:
        if other.declares(field):
            yield Discrepancy(field, UPGRADES, "both flows have an upgrade, which is for one of them to have")


def _other_defaults(one: ScopeSchema, other: ScopeSchema) -> Iterator[Discrepancy]:
    for field in one.fields:
        if other.declares(field) and one.default_at((field,)) != other.default_at((field,)):
            yield Discrepancy(field, VALUES, "different defaults")
