"""The flows that a server hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flowstate_server.errors import (
    ActionNotFoundError,
    CrossFlowSchemaConflictError,
    FlowDefinitionError,
    FlowNotFoundError,
)
from flowstate_server.flows.action import Action
from flowstate_server.flows.flow import Flow
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.comparison import SHAPE, VALUES, Discrepancy, same_shape
from flowstate_server.schemas.pydantic.schema import ModelSchema

_SHARED_SCOPES = (ScopeKind.USER, ScopeKind.ORG)


class FlowRegistry:
    """Flows by kind; iterating goes in order of kind.

    Flows share the records of users and orgs unless they isolate them, so whatever two flows declare there has to
    agree. In this release it has to be the same: equal fields, and no field that only one of them declares. A flow
    that declares nothing in a scope, or isolates it, agrees with every other one there.
    """

    def __init__(self, flows: Iterable[Flow] = ()) -> None:
        self._flows: dict[str, Flow] = {}
        for flow in flows:
            self.register(flow)

    def register(self, flow: Flow) -> None:
        """Add ``flow``. What is refused leaves no trace.

        Raises:
            FlowDefinitionError: a flow of that kind is registered.
            CrossFlowSchemaConflictError: a registered flow that shares the user or org scope declares it differently.
        """
        if not isinstance(flow, Flow):
            raise FlowDefinitionError(f"only flows can be registered, not {type(flow).__name__}")
        if flow.kind in self._flows:
            raise FlowDefinitionError(f'a flow of the kind "{flow.kind}" is registered already')
        for scope in _SHARED_SCOPES:
            for other in self:
                _check_agreement(scope, other, flow)
        self._flows[flow.kind] = flow

    def unregister(self, kind: str) -> Flow:
        """Remove a flow; it takes no part in later checks.

        Raises:
            FlowNotFoundError: no such flow.
        """
        flow = self.get(kind)
        del self._flows[kind]
        return flow

    def find(self, kind: str) -> Flow | None:
        return self._flows.get(kind)

    def get(self, kind: str) -> Flow:
        """
        Raises:
            FlowNotFoundError: no such flow.
        """
        flow = self._flows.get(kind)
        if flow is None:
            raise FlowNotFoundError(kind)
        return flow

    def action(self, kind: str, name: str) -> Action[Any, Any]:
        """
        Raises:
            FlowNotFoundError: no such flow.
            ActionNotFoundError: the flow has no such action.
        """
        action = self.get(kind).actions.get(name)
        if action is None:
            raise ActionNotFoundError(kind, name)
        return action

    def __iter__(self) -> Iterator[Flow]:
        return iter([self._flows[kind] for kind in sorted(self._flows)])

    def __len__(self) -> int:
        return len(self._flows)

    def __contains__(self, kind: object) -> bool:
        return kind in self._flows


def _check_agreement(scope: ScopeKind, registered: Flow, flow: Flow) -> None:
    if registered.isolates(scope) or flow.isolates(scope):
        return
    one, other = registered.schemas[scope], flow.schemas[scope]
    if not one.fields or not other.fields:
        return
    found = [*same_shape(one, other), *_one_sided(one, other, (registered.kind, flow.kind))]
    if one.hash != other.hash:
        found += _other_defaults(one, other)
    for difference in found[:1]:
        raise CrossFlowSchemaConflictError(
            problem=difference.detail,
            scope=scope,
            field=difference.field,
            flow_a=registered.kind,
            flow_b=flow.kind,
            reason=difference.reason,
        )


def _one_sided(one: ModelSchema, other: ModelSchema, names: tuple[str, str]) -> Iterator[Discrepancy]:
    for schema, counterpart, name in ((one, other, names[0]), (other, one, names[1])):
        for field in schema.fields:
            if not counterpart.declares(field):
                yield Discrepancy(field, SHAPE, f'declared by flow "{name}" only')


def _other_defaults(one: ModelSchema, other: ModelSchema) -> Iterator[Discrepancy]:
    for field in one.fields:
        if other.declares(field) and one.default(field) != other.default(field):
            yield Discrepancy(field, VALUES, "different defaults")
