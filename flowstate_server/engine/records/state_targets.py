"""From the scopes that callers name to the records that they mean, and what governs these."""

from __future__ import annotations

from flowstate_server.engine.bindings import OTHER_ORG, OTHER_USER, Bindings, check_owner
from flowstate_server.engine.calls.state import ScopeTarget
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.engine.state_change import ChangeRules
from flowstate_server.errors import (
    AccessDeniedError,
    RequestNotFoundError,
    RequestTerminalError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.scopes import (
    RequestKey,
    ScopeKey,
    ScopeKind,
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.stores.contract.writes import RequireRun, RequireSession
from flowstate_server.stores.store import Store


@frozen
class ResolvedTarget:
    """The key of a record, what governs it, and what must hold for it when it is written."""

    key: ScopeKey
    rules: ChangeRules
    guard: RequireSession | RequireRun | None = None

    @property
    def schema(self) -> ScopeSchema | None:
        """By which the record reads; ``None`` where no flow has anything to say of it."""
        return self.rules.schema if self.rules.writer or self.rules.schema.fields else None


class StateTargets:
    def __init__(
        self, store: Store, catalogue: Catalogue, bindings: Bindings, settings: EngineSettings
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._bindings = bindings
        self._settings = settings

    async def resolve(
        self, principal: Principal, target: ScopeTarget, path: str, *, writing: bool = False
    ) -> ResolvedTarget:
        """The record that ``principal`` means by ``target``, named ``path`` in errors.

        Raises:
            ServiceError: it is not for the principal, or there is no such session, request or flow; one that has ended
                can't be written.
        """
        check_id(path, target.id)
        if target.kind in (ScopeKind.USER, ScopeKind.ORG):
            return self._shared(principal, target, path)
        if target.isolated:
            raise _invalid(f"{path}.isolated", "owner", "must be false unless a user or an org is named")
        if target.kind is ScopeKind.SESSION:
            return await self._session(principal, target)
        return await self._request(principal, target, writing)

    async def _session(self, principal: Principal, target: ScopeTarget) -> ResolvedTarget:
        binding = await self._bindings.owned(principal, target.id, flow_kind=target.flow_kind)
        guard = RequireSession(binding.key, binding.log_id)
        rules = self._rules(target.kind, binding.flow_kind)
        return ResolvedTarget(session_scope(binding.key), rules, guard)

    async def _request(self, principal: Principal, target: ScopeTarget, writing: bool) -> ResolvedTarget:
        key = RequestKey(principal.tenant, target.id)
        record = await self._store.get_request(key)
        if record is None:
            raise RequestNotFoundError(target.id)
        check_owner(principal, record.head, record.org_id)
        if writing and record.head.status.ended:
            raise RequestTerminalError(target.id)
        rules = self._rules(target.kind, record.flow_kind)
        return ResolvedTarget(request_scope(key), rules, RequireRun(key, None))

    def _shared(self, principal: Principal, target: ScopeTarget, path: str) -> ResolvedTarget:
        of_user = target.kind is ScopeKind.USER
        bound = principal.user if of_user else principal.org
        if bound and target.id != bound:
            raise AccessDeniedError(OTHER_USER if of_user else OTHER_ORG)
        scope = user_scope if of_user else org_scope
        if not target.flow_kind:
            if target.isolated:
                raise _invalid(f"{path}.flow_kind", "required", "must name the flow whose record is meant")
            rules = ChangeRules.of_all(target.kind, self._settings.max_state_bytes, self._catalogue)
            return ResolvedTarget(scope(target.id), rules)
        flow = self._catalogue.get(target.flow_kind).described
        isolated = target.isolated or flow.isolates(target.kind)
        rules = self._rules(target.kind, flow.kind, isolated=isolated)
        return ResolvedTarget(scope(target.id, isolated_flow=flow.kind if isolated else ""), rules)

    def _rules(self, scope: ScopeKind, flow_kind: str, *, isolated: bool = False) -> ChangeRules:
        flow = self._catalogue.get(flow_kind).described
        limit = self._settings.max_state_bytes
        return ChangeRules.of(flow, scope, limit, self._catalogue, isolated=isolated)


def _invalid(path: str, rule: str, message: str) -> ValidationFailedError:
    return ValidationFailedError((Violation(path, rule, message),))
