"""State from outside a run: reading and committing it on the trusted plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flowstate_server.engine.bindings import Bindings, check_binding, check_owner
from flowstate_server.engine.calls.state import (
    ScopeTarget,
    StateAnswer,
    StateCommit,
    StateCommitted,
    StateMutation,
)
from flowstate_server.engine.readings import Readings
from flowstate_server.engine.rehearsals import Rehearsals, brings_all, may_take_long
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.engine.state_change import ChangeRules, state_change
from flowstate_server.engine.upgrades import RecordUpgrades, Upgraded
from flowstate_server.errors import (
    AccessDeniedError,
    MutationAtFault,
    RequestNotFoundError,
    RequestTerminalError,
    ScopeUnavailableError,
    ServiceError,
    StateValidationError,
    StoreUnavailableError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.log_context import found
from flowstate_server.model.clock import micros
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.records import IdempotencyKey, StateRecord
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
from flowstate_server.programs.description import FlowDescription
from flowstate_server.stores.contract.writes import (
    ChangeState,
    CommitResult,
    PutIdempotencyKey,
    RequireRun,
    RequireSession,
    SessionChanged,
    Write,
)
from flowstate_server.stores.store import Store

# Attempts. Each is lost only when a session was deleted and made anew just then, so a second is hardly ever needed.
RACES = 5


@frozen
class _Resolved:
    """A target with its record's key, the flow that governs it, the upgrades of those that share it, and what must hold
    for it when it is written."""

    key: ScopeKey
    flow: FlowDescription | None
    upgrades: RecordUpgrades
    guard: RequireSession | RequireRun | None = None


class _Placed(NamedTuple):
    """A write of the batch, and the position of the mutation that asked for it if one did."""

    write: Write
    mutation: int | None = None


class States:
    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        bindings: Bindings,
        settings: EngineSettings,
        rehearsals: Rehearsals,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._bindings = bindings
        self._settings = settings
        self._rehearsals = rehearsals

    async def get(self, principal: Principal, targets: Sequence[ScopeTarget]) -> list[StateAnswer]:
        """The records of all targets as they are at one moment, defaults shown where a flow governs the record."""
        self._count_scopes(len(targets), "scopes")
        resolved = [
            await self._resolve(principal, target, f"scopes[{position}]")
            for position, target in enumerate(targets)
        ]
        loaded = await self._store.load_states([scope.key for scope in resolved])
        return [
            await self._answer(target, scope, loaded[scope.key])
            for target, scope in zip(targets, resolved, strict=True)
        ]

    async def commit(self, principal: Principal, commit: StateCommit) -> StateCommitted:
        """All mutations as one batch, each scope at most once, or nothing."""
        self._check(commit)
        for _ in range(RACES):
            resolved = await self._resolve_all(principal, commit)
            expected = await self._expected(commit, resolved)
            batch = await self._batch(principal, commit, resolved, expected)
            try:
                result = await self._store.commit(tuple([placed.write for placed in batch]))
            except ServiceError as error:
                if error.refused_write is not None:
                    _blame(error, commit, batch[error.refused_write].mutation)
                raise
            except SessionChanged:
                for scope in resolved:
                    if isinstance(scope.guard, RequireSession):
                        self._bindings.forget(scope.guard.key)
                continue
            return await self._committed(commit, resolved, result)
        raise StoreUnavailableError

    async def _committed(
        self, commit: StateCommit, resolved: Sequence[_Resolved], result: CommitResult
    ) -> StateCommitted:
        written = result.results[-len(commit.mutations) :]
        answers = []
        for mutation, scope, done in zip(commit.mutations, resolved, written, strict=True):
            record = done.state or StateRecord(scope.key, version=done.version, exists=done.version > 0)
            answers.append(await self._answer(mutation.target, scope, record, changed=done.changed))
        return StateCommitted(answers, result.replayed)

    async def _answer(
        self, target: ScopeTarget, scope: _Resolved, record: StateRecord, *, changed: bool = False
    ) -> StateAnswer:
        schema = None if scope.flow is None else scope.flow.schemas[target.kind]
        if scope.upgrades.upgrades:
            record = (await scope.upgrades.ahead(record)).record
        # Kept as long as the flows: how records read to a flow that has gone is of no use.
        readings = self._catalogue.remembered((States, Readings), Readings)
        return StateAnswer(target, record, schema, changed, readings)

    async def _resolve_all(self, principal: Principal, commit: StateCommit) -> list[_Resolved]:
        """What the mutations name, each record at most once."""
        resolved: list[_Resolved] = []
        try:
            for position, mutation in enumerate(commit.mutations):
                path = f"mutations[{position}].scope"
                scope = await self._resolve(principal, mutation.target, path, writing=True)
                if any(scope.key == other.key for other in resolved):
                    raise _violation(path, "duplicate", "must name each scope once")
                resolved.append(scope)
        except StoreUnavailableError:
            raise
        except ServiceError as error:
            _blame(error, commit, len(resolved))
            raise
        return resolved

    async def _expected(
        self, commit: StateCommit, resolved: Sequence[_Resolved]
    ) -> Mapping[ScopeKey, Upgraded]:
        """The records that may have to be upgraded, for that not to be done in the transaction."""
        keys = [scope.key for scope in resolved if scope.upgrades.upgrades]
        if not keys:
            return {}
        loaded = await self._store.load_states(keys)
        expected: dict[ScopeKey, Upgraded] = {}
        for position, scope in enumerate(resolved):
            if scope.key in loaded:
                try:
                    expected[scope.key] = await scope.upgrades.ahead(loaded[scope.key])
                except ScopeUnavailableError as error:
                    _blame(error, commit, position)
                    raise
        return expected

    async def _batch(
        self,
        principal: Principal,
        commit: StateCommit,
        resolved: Sequence[_Resolved],
        expected: Mapping[ScopeKey, Upgraded],
    ) -> list[_Placed]:
        batch: list[_Placed] = []
        if commit.idempotency_key:
            key = IdempotencyKey(principal.tenant, principal.name, "CommitState", commit.idempotency_key)
            window = micros(self._settings.idempotency_window)
            batch.append(_Placed(PutIdempotencyKey(key, commit.fingerprint, window)))
        request = await self._on_behalf(principal, commit.request_id) if commit.request_id else None
        if request is not None:
            batch.append(_Placed(RequireRun(request, None)))
        for position, scope in enumerate(resolved):
            if scope.guard is not None:
                batch.append(_Placed(scope.guard, position))
        for position, (mutation, scope) in enumerate(zip(commit.mutations, resolved, strict=True)):
            try:
                change = await self._change(mutation, scope, request, expected.get(scope.key))
            except StateValidationError as error:
                _blame(error, commit, position)
                raise
            batch.append(_Placed(change, position))
        return batch

    async def _change(
        self,
        mutation: StateMutation,
        scope: _Resolved,
        request: RequestKey | None,
        expected: Upgraded | None,
    ) -> ChangeState:
        if scope.flow is None:
            raise TypeError("a scope without a flow can't be written")
        limit = self._settings.max_state_bytes
        rules = ChangeRules.of(scope.flow, mutation.target.kind, limit, self._catalogue)
        if mutation.target.kind is ScopeKind.REQUEST:
            request = RequestKey(scope.key.tenant, scope.key.id)
        rehearsed = None
        if may_take_long(mutation.operations, rules.schema):
            record = StateRecord(scope.key) if expected is None else expected.record
            if expected is None and not brings_all(mutation.operations, rules.schema):
                record = (await self._store.load_states((scope.key,)))[scope.key]
            rehearsed = await self._rehearsals.of(mutation.operations, rules.schema, record)
        change = state_change(mutation.operations, rules, expected=expected, rehearsed=rehearsed)
        return ChangeState(scope.key, change, mutation.precondition, request)

    async def _on_behalf(self, principal: Principal, request_id: str) -> RequestKey:
        key = RequestKey(principal.tenant, check_id("request_id", request_id))
        record = await self._store.get_request(key)
        if record is None:
            raise RequestNotFoundError(request_id)
        check_owner(principal, record.head, record.org_id)
        found(record)
        return key

    async def _resolve(
        self, principal: Principal, target: ScopeTarget, path: str, *, writing: bool = False
    ) -> _Resolved:
        check_id(path, target.id)
        match target.kind:
            case ScopeKind.SESSION:
                return await self._resolve_session(principal, target)
            case ScopeKind.REQUEST:
                return await self._resolve_request(principal, target, writing)
            case ScopeKind.USER | ScopeKind.ORG:
                return self._resolve_shared(principal, target, path, writing)

    async def _resolve_session(self, principal: Principal, target: ScopeTarget) -> _Resolved:
        binding = await self._bindings.owned(principal, target.id)
        check_binding(principal, binding, flow_kind=target.flow_kind)
        flow = self._catalogue.get(binding.flow_kind).described
        guard = RequireSession(binding.key, binding.log_id)
        return self._resolved(session_scope(binding.key), flow, guard)

    async def _resolve_request(self, principal: Principal, target: ScopeTarget, writing: bool) -> _Resolved:
        key = RequestKey(principal.tenant, target.id)
        record = await self._store.get_request(key)
        if record is None:
            raise RequestNotFoundError(target.id)
        check_owner(principal, record.head, record.org_id)
        if writing and record.head.status.ended:
            raise RequestTerminalError(target.id)
        flow = self._catalogue.get(record.flow_kind).described
        return self._resolved(request_scope(key), flow, RequireRun(key, None))

    def _resolve_shared(
        self, principal: Principal, target: ScopeTarget, path: str, writing: bool
    ) -> _Resolved:
        of_user = target.kind is ScopeKind.USER
        bound = principal.user if of_user else principal.org
        if bound and target.id != bound:
            raise AccessDeniedError(f"the credentials are bound to another {target.kind.value}")
        if not target.flow_kind:
            if writing:
                problem = "must name the flow whose schema governs the write"
                raise ValidationFailedError((Violation(f"{path}.flow_kind", "required", problem),))
            return self._resolved(user_scope(target.id) if of_user else org_scope(target.id), None)
        flow = self._catalogue.get(target.flow_kind).described
        scope = user_scope if of_user else org_scope
        isolated_flow = flow.kind if flow.isolates(target.kind) else ""
        return self._resolved(scope(target.id, isolated_flow=isolated_flow), flow)

    def _resolved(
        self,
        key: ScopeKey,
        flow: FlowDescription | None,
        guard: RequireSession | RequireRun | None = None,
    ) -> _Resolved:
        upgrades = RecordUpgrades.of(self._catalogue, key.kind, flow)
        return _Resolved(key, flow, upgrades, guard)

    def _check(self, commit: StateCommit) -> None:
        check_id("idempotency_key", commit.idempotency_key, required=False)
        self._count_scopes(len(commit.mutations), "mutations")
        operations = sum(len(mutation.operations) for mutation in commit.mutations)
        if operations > self._settings.max_ops:
            raise _violation(
                "mutations", "too_many", f"must hold at most {self._settings.max_ops} operations in all"
            )
        for position, mutation in enumerate(commit.mutations):
            if not mutation.operations and mutation.precondition is None:
                problem = "must hold an operation or a precondition"
                error = _violation(f"mutations[{position}].ops", "required", problem)
                _blame(error, commit, position)
                raise error

    def _count_scopes(self, count: int, path: str) -> None:
        if not 1 <= count <= self._settings.max_scopes:
            raise _violation(path, "range", f"must be 1 to {self._settings.max_scopes} scopes")


def _blame(error: ServiceError, commit: StateCommit, position: int | None) -> None:
    """Say in the error which mutation is at fault; ``None`` if none by itself is."""
    if position is not None:
        target = commit.mutations[position].target
        error.mutation = MutationAtFault(position, target.kind.value, target.id)


def _violation(path: str, rule: str, message: str) -> ValidationFailedError:
    return ValidationFailedError((Violation(path, rule, message),))
