"""The flows that a server hosts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar as PlainTypeVar

from typing_extensions import TypeVar

from flowstate_server.errors import CrossFlowSchemaConflictError, FlowDefinitionError, FlowNotFoundError
from flowstate_server.model.nearest import nearest_or_known
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.agreement import Conflict, Remark, agreement, together
from flowstate_server.programs.declarations import SHARED_SCOPES
from flowstate_server.programs.description import FlowDescription
from flowstate_server.programs.program import HostedFlow

T = PlainTypeVar("T")
FlowT_co = TypeVar("FlowT_co", bound=HostedFlow, default=HostedFlow, covariant=True)

_log = logging.getLogger(__name__)


class Catalogue(Generic[FlowT_co]):
    """Flows by kind; iterating goes in order of kind.

    Flows share the records of users and orgs unless they isolate them, so a field that two of them declare there has to
    be the same: in type, constraints, members, element types, nested models and nullability. Each pair is compared:
    that a third flow agrees with both says nothing. Of what may differ the log has a warning: defaults, functions that
    validate a field, and fields of one side only, which is an error in the log if such a field is required. A flow that
    declares nothing in a scope, or isolates it, agrees with every other one there.
    """

    def __init__(self, flows: Iterable[FlowT_co] = (), *, strict: bool = False) -> None:
        self._flows: dict[str, FlowT_co] = {}
        self._remembered: dict[Hashable, Any] = {}
        for flow in flows:
            self.register(flow, strict=strict)

    def register(self, flow: FlowT_co, *, strict: bool = False) -> None:  # type: ignore[misc]  # who is handed a catalogue only reads it
        """Add ``flow``. What is refused leaves no trace.

        ``strict``: a required field that only one of two flows declares is refused, too.

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
        conflicts: list[CrossFlowSchemaConflictError] = []
        remarks: list[Remark] = []
        for other in self:
            found = agreement(other.described.shared, described.shared, strict=strict)
            conflicts += [
                one.error(_declared_in(one, (other.described, described))) for one in found.conflicts
            ]
            remarks += found.remarks
        if conflicts:
            raise together(conflicts)
        for remark in remarks:
            _told(remark)
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
        if flow is not None and (scope not in SHARED_SCOPES or flow.isolates(scope)):
            return (flow,)
        found = {
            kind: described
            for kind, hosted in self._flows.items()
            if (described := hosted.described).schemas[scope].fields and not described.isolates(scope)
        }
        if flow is not None:
            found[flow.kind] = flow
        return [found[kind] for kind in sorted(found)]

    def fields_of_others(self, kind: str, scope: str) -> frozenset[str]:
        """The fields of a scope that other flows declare and this one does not."""
        of = ScopeKind(scope)
        declared = {name for hosted in self for name in hosted.described.schemas[of].fields}
        return frozenset(declared.difference(self.get(kind).described.schemas[of].fields))

    def declares_resource(self, kind: str, scope: str, name: str) -> bool:
        """Whether a flow declares a resource of that name."""
        return self.get(kind).described.resource_index.find(ScopeKind(scope), name) is not None

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


def _told(remark: Remark) -> None:
    _log.log(logging.ERROR if remark.loud else logging.WARNING, "%s", remark.text)


def _declared_in(conflict: Conflict, flows: Iterable[FlowDescription]) -> str:
    """The models that declare the field, if that is known."""
    schemas = {flow.kind: flow.schemas[conflict.scope] for flow in flows}
    named = [
        f'"{kind}" declares it in {", ".join(models)}'
        for kind in (conflict.flow_a, conflict.flow_b)
        if (models := schemas[kind].declared_in(conflict.field))
    ]
    return f"{'; '.join(named)}." if named else ""
