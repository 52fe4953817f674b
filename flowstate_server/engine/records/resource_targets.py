"""From the resources that callers name to the owners that they mean, and the flows that declare them."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.engine.bindings import Bindings
from flowstate_server.engine.calls.state import ScopeTarget
from flowstate_server.engine.records.resource_owners import FoundOwner, find_owner
from flowstate_server.engine.records.state_targets import ResolvedTarget, StateTargets
from flowstate_server.engine.resource_change import ResourceRules
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import ResourceNotFoundError, ValidationFailedError, Violation
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Principal
from flowstate_server.model.nearest import nearest_or_known
from flowstate_server.model.resources import ResourceOwner
from flowstate_server.model.scopes import ScopeKey, ScopeKind
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.program import HostedFlow
from flowstate_server.programs.resources import ResourceDescription
from flowstate_server.stores.contract.resource_writes import ResourceMoved
from flowstate_server.stores.contract.writes import RequireSession
from flowstate_server.stores.store import Store


@frozen
class ResourceTarget:
    """An owner, and the flows that may declare its resources: that of the session, the one that was named, or all that
    share the record of the user or org."""

    resolved: ResolvedTarget
    flows: Sequence[HostedFlow]

    @property
    def scope(self) -> ScopeKey:
        return self.resolved.key

    @property
    def guard(self) -> RequireSession | None:
        """What must hold of the session, if it is one."""
        guard = self.resolved.guard
        return guard if isinstance(guard, RequireSession) else None

    def declared(self, name: str, *, shown: bool = False) -> tuple[HostedFlow, ResourceDescription] | None:
        """The declaration of a resource, of those that are ``shown`` to clients only, and its flow."""
        for flow in self.flows:
            described = flow.described.resource_index.find(self.scope.kind, name)
            if described is not None and (described.shown is not None or not shown):
                return flow, described
        return None

    def missing(self, name: str) -> ResourceNotFoundError:
        """That there is none, said to the trusted plane, which is told whether anybody declares it."""
        kind = self.scope.kind
        if self.declared(name) is not None:
            return ResourceNotFoundError(kind.value, name)
        known = [one.name for flow in self.flows for one in flow.described.resources if one.scope is kind]
        who = f"flow {self.flows[0].described.kind}" if len(self.flows) == 1 else "no flow"
        says = "declares no such resource" if len(self.flows) == 1 else "declares such a resource"
        return ResourceNotFoundError(kind.value, name, f": {who} {says}{nearest_or_known(name, known)}")


class ResourceTargets:
    def __init__(
        self, store: Store, catalogue: Catalogue, bindings: Bindings, settings: EngineSettings
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._bindings = bindings
        self._targets = StateTargets(store, catalogue, bindings, settings)
        self._max_bytes = settings.max_state_bytes

    async def resolve(self, principal: Principal, target: ScopeTarget, path: str) -> ResourceTarget:
        """
        Raises:
            ServiceError: as :meth:`StateTargets.resolve`.
        """
        if target.kind is ScopeKind.REQUEST:
            problem = "must be a session, a user or an org"
            raise ValidationFailedError((Violation(f"{path}.owner", "owner", problem),))
        return self.of(target, await self._targets.resolve(principal, target, path, writing=True))

    def of(self, target: ScopeTarget, resolved: ResolvedTarget) -> ResourceTarget:
        """What was resolved for its state."""
        if target.flow_kind or target.kind is ScopeKind.SESSION:
            return ResourceTarget(resolved, [self._catalogue.get(resolved.rules.writer)])
        sharing = [flow for flow in self._catalogue if not flow.described.isolates(target.kind)]
        return ResourceTarget(resolved, sharing)

    def rules(self, target: ResourceTarget, name: str) -> ResourceRules:
        """What governs writes of a resource.

        Raises:
            ResourceNotFoundError: no flow declares it.
        """
        declared = target.declared(name)
        if declared is None:
            raise target.missing(name)
        flow, described = declared
        return ResourceRules.of(flow.described, described, self._max_bytes, self._catalogue)

    async def owner(self, target: ResourceTarget) -> FoundOwner:
        if target.guard is not None:
            return FoundOwner(ResourceOwner(target.scope, target.guard.log_id))
        return await find_owner(self._store, target.scope, target.resolved.rules)

    async def require(self, target: ResourceTarget, owner: ResourceOwner) -> None:
        """For whoever has read of ``owner``, behind the read.

        Raises:
            SessionNotFoundError: the session does not live any more.
            SessionChanged, ResourceMoved: it is another incarnation.
        """
        if target.guard is not None:
            await self._bindings.require(target.guard.key, target.guard.log_id)
            return
        record = (await self._store.load_states((owner.scope,)))[owner.scope]
        if not record.exists or record.incarnation != owner.incarnation:
            raise ResourceMoved
