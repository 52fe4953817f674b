"""State from outside a run: reading and committing it on the trusted plane."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from flowstate_server.engine.bindings import Bindings
from flowstate_server.engine.calls.state import (
    ScopeTarget,
    StateAnswer,
    StateCommit,
    StateCommitted,
    StateDeletion,
    StateMutation,
)
from flowstate_server.engine.readings import Readings
from flowstate_server.engine.records.on_behalf import acting_request, check_scope
from flowstate_server.engine.records.resource_owners import FoundOwner
from flowstate_server.engine.records.resource_targets import ResourceTargets
from flowstate_server.engine.records.resource_writing import ResourceWriting, WriteTerms
from flowstate_server.engine.records.state_targets import ResolvedTarget, StateTargets
from flowstate_server.engine.rehearsals import Rehearsals, brings_all, may_take_long
from flowstate_server.engine.resource_change import state_of
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.engine.state_change import state_change
from flowstate_server.engine.upgrades import Upgraded
from flowstate_server.errors import (
    MutationAtFault,
    ScopeUnavailableError,
    ServiceError,
    StateValidationError,
    StoreUnavailableError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.model.clock import micros
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import IdempotencyKey, StateRecord
from flowstate_server.model.resources import resource_in
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.resource_names import check_name
from flowstate_server.state.json_pointer import Pointer
from flowstate_server.stores.contract.resource_writes import ChangeResource, ResourceMoved
from flowstate_server.stores.contract.tombstone_writes import Withheld, Withhold
from flowstate_server.stores.contract.writes import (
    NO_CHANGE,
    ChangeState,
    CommitResult,
    DeleteState,
    Exists,
    NoChange,
    PutIdempotencyKey,
    RequireRun,
    RequireSession,
    SessionChanged,
    Write,
    WriteResult,
)
from flowstate_server.stores.store import Store

# Attempts. Each is lost only when a session was deleted and made anew just then, so a second is hardly ever needed;
# or to others who make resources in the same collection, of which the oldest gives way.
RACES = 20
# Seconds between two of the latter, at most.
PAUSE = 0.02


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
        self._targets = StateTargets(store, catalogue, bindings, settings)
        self._rehearsals = rehearsals
        self._resources = ResourceTargets(store, catalogue, bindings, settings)
        self._writing = ResourceWriting(store, settings, rehearsals)

    async def get(
        self, principal: Principal, targets: Sequence[ScopeTarget], paths: tuple[Pointer, ...] = ()
    ) -> list[StateAnswer]:
        """The records of all targets as they are at one moment, defaults shown where a flow governs the record; with
        ``paths`` what lies there alone."""
        self._count_scopes(len(targets), "scopes")
        if len(paths) > self._settings.max_ops:
            raise _violation("paths", "too_many", f"must be at most {self._settings.max_ops}")
        for _ in range(RACES):
            resolved = [
                await self._targets.resolve(principal, target, f"scopes[{position}]")
                for position, target in enumerate(targets)
            ]
            loaded = await self._store.load_states([scope.key for scope in resolved])
            try:
                for scope in resolved:
                    if isinstance(scope.guard, RequireSession):
                        await self._bindings.require(scope.guard.key, scope.guard.log_id)
            except SessionChanged:
                continue
            return [
                await self._answer(target, scope, loaded[scope.key], paths=paths)
                for target, scope in zip(targets, resolved, strict=True)
            ]
        raise StoreUnavailableError

    async def commit(self, principal: Principal, commit: StateCommit) -> StateCommitted:
        """All mutations as one batch, each scope at most once, or nothing; to be validated only, always nothing."""
        self._check(commit)
        for _ in range(RACES):
            resolved = await self._resolve_all(principal, commit)
            expected = await self._expected(commit, resolved)
            owners = await self._owners(commit, resolved)
            batch = await self._batch(principal, commit, resolved, expected, owners)
            try:
                result = await self._store.commit(tuple([placed.write for placed in batch]))
            except Withheld as withheld:
                result = withheld.result
            except ServiceError as error:
                if error.refused_write is not None:
                    _blame(error, commit, batch[error.refused_write].mutation)
                raise
            except SessionChanged:
                for scope in resolved:
                    if isinstance(scope.guard, RequireSession):
                        self._bindings.forget(scope.guard.key)
                continue
            except ResourceMoved:
                await asyncio.sleep(random.uniform(0, PAUSE))
                continue
            return await self._committed(commit, resolved, result)
        raise StoreUnavailableError

    async def delete(self, principal: Principal, deletion: StateDeletion) -> bool:
        """Make a user or org record a tombstone; whether that is the replay of an earlier call."""
        check_id("idempotency_key", deletion.idempotency_key, required=False)
        if deletion.target.kind not in (ScopeKind.USER, ScopeKind.ORG):
            raise _violation("scope.owner", "owner", "must be a user or an org")
        scope = await self._targets.resolve(principal, deletion.target, "scope", writing=True)
        batch = self._remembering(principal, "DeleteState", deletion.idempotency_key, deletion.fingerprint)
        if not deletion.allow_missing:
            batch.append(ChangeState(scope.key, _unchanged, Exists(True)))
        batch.append(DeleteState(scope.key, deletion.precondition, allow_missing=deletion.allow_missing))
        result = await self._store.commit(tuple(batch))
        return result.replayed

    def _remembering(self, principal: Principal, method: str, key: str, fingerprint: str) -> list[Write]:
        if not key:
            return []
        remembered = IdempotencyKey(principal.tenant, principal.key, method, key)
        return [PutIdempotencyKey(remembered, fingerprint, micros(self._settings.idempotency_window))]

    async def _committed(
        self, commit: StateCommit, resolved: Sequence[ResolvedTarget], result: CommitResult
    ) -> StateCommitted:
        written = dict(zip(_order(commit), result.results[-len(commit.mutations) :], strict=True))
        answers = []
        for position, (mutation, scope) in enumerate(zip(commit.mutations, resolved, strict=True)):
            done = written[position]
            if mutation.resource:
                answers.append(self._resource_answer(mutation, scope, done))
                continue
            record = done.state or StateRecord(scope.key, version=done.version, exists=done.version > 0)
            if commit.validate_only and record.create_time == result.time:
                record = replace(record, incarnation="")  # nobody will meet it again
            answers.append(await self._answer(mutation.target, scope, record, changed=done.changed))
        return StateCommitted(answers, result.replayed)

    async def _answer(
        self,
        target: ScopeTarget,
        scope: ResolvedTarget,
        record: StateRecord,
        *,
        changed: bool = False,
        paths: tuple[Pointer, ...] = (),
    ) -> StateAnswer:
        if scope.rules.upgrades.upgrades:
            record = (await scope.rules.upgrades.ahead(record)).record
        # Kept as long as the flows: how records read to a flow that has gone is of no use.
        readings = self._catalogue.remembered((States, Readings), Readings)
        return StateAnswer(target, record, scope.schema, changed, readings, paths)

    def _resource_answer(
        self, mutation: StateMutation, scope: ResolvedTarget, done: WriteResult
    ) -> StateAnswer:
        record = StateRecord(scope.key, version=done.version, exists=done.version > 0)
        if done.document is not None:
            resource = resource_in(done.document)
            record = replace(state_of(resource), text=encode_json(resource.state))
        rules = self._resources.rules(self._resources.of(mutation.target, scope), mutation.resource)
        readings = self._catalogue.remembered((States, Readings), Readings)
        return StateAnswer(
            mutation.target, record, rules.schema, done.changed, readings, resource=mutation.resource
        )

    async def _resolve_all(self, principal: Principal, commit: StateCommit) -> list[ResolvedTarget]:
        """What the mutations name, each record at most once."""
        resolved: list[ResolvedTarget] = []
        try:
            for position, mutation in enumerate(commit.mutations):
                path = f"mutations[{position}].scope"
                scope = await self._targets.resolve(principal, mutation.target, path, writing=True)
                if mutation.resource:
                    self._check_resource(mutation, scope, f"mutations[{position}].resource")
                named = (scope.key, mutation.resource)
                if named in [(one.key, other.resource) for one, other in zip(resolved, commit.mutations)]:  # noqa: B905
                    what = "resource" if mutation.resource else "scope"
                    raise _violation(path, "duplicate", f"must name each {what} once")
                resolved.append(scope)
        except StoreUnavailableError:
            raise
        except ServiceError as error:
            _blame(error, commit, len(resolved))
            raise
        return resolved

    def _check_resource(self, mutation: StateMutation, scope: ResolvedTarget, path: str) -> None:
        if mutation.target.kind is ScopeKind.REQUEST:
            raise _violation(path, "owner", "must be empty for the state of a request")
        check_name(path, mutation.resource)
        self._resources.rules(self._resources.of(mutation.target, scope), mutation.resource)

    async def _owners(
        self, commit: StateCommit, resolved: Sequence[ResolvedTarget]
    ) -> Mapping[ScopeKey, FoundOwner]:
        """Of the resources that are written, each once: what the batch makes of a record it makes once."""
        owners: dict[ScopeKey, FoundOwner] = {}
        for mutation, scope in zip(commit.mutations, resolved, strict=True):
            if mutation.resource and scope.key not in owners:
                owners[scope.key] = await self._resources.owner(self._resources.of(mutation.target, scope))
        return owners

    async def _expected(
        self, commit: StateCommit, resolved: Sequence[ResolvedTarget]
    ) -> Mapping[ScopeKey, Upgraded]:
        """The records that may have to be upgraded, for that not to be done in the transaction."""
        of_state = [not mutation.resource for mutation in commit.mutations]
        keys = [
            scope.key
            for scope, wanted in zip(resolved, of_state, strict=True)
            if wanted and scope.rules.upgrades.upgrades
        ]
        if not keys:
            return {}
        loaded = await self._store.load_states(keys)
        expected: dict[ScopeKey, Upgraded] = {}
        for position, scope in enumerate(resolved):
            if scope.key in loaded and of_state[position]:
                try:
                    expected[scope.key] = await scope.rules.upgrades.ahead(loaded[scope.key])
                except ScopeUnavailableError as error:
                    _blame(error, commit, position)
                    raise
        return expected

    async def _batch(
        self,
        principal: Principal,
        commit: StateCommit,
        resolved: Sequence[ResolvedTarget],
        expected: Mapping[ScopeKey, Upgraded],
        owners: Mapping[ScopeKey, FoundOwner],
    ) -> list[_Placed]:
        key = self._remembering(principal, "CommitState", commit.idempotency_key, commit.fingerprint)
        batch = [_Placed(write) for write in key]
        request = await self._request(principal, commit, resolved)
        if request is not None:
            batch.append(_Placed(RequireRun(request, None)))
        for position, scope in enumerate(resolved):
            if scope.guard is not None:
                batch.append(_Placed(scope.guard, position))
        for position in _order(commit):
            mutation, scope = commit.mutations[position], resolved[position]
            found = owners.get(scope.key)
            change: ChangeState | ChangeResource
            try:
                if mutation.resource and found is not None:
                    change = await self._resource_change(mutation, scope, request, found)
                else:
                    change = await self._change(mutation, scope, request, expected.get(scope.key))
                    if found is not None:
                        change = replace(change, new_incarnation=found.owner.incarnation)
            except StateValidationError as error:
                _blame(error, commit, position)
                raise
            batch.append(_Placed(change, position))
        if commit.validate_only:
            batch.append(_Placed(Withhold()))
        return batch

    async def _request(
        self, principal: Principal, commit: StateCommit, resolved: Sequence[ResolvedTarget]
    ) -> RequestKey | None:
        """The one on whose behalf all mutations are made, if one is named."""
        request = await acting_request(self._store, principal, commit.request_id)
        if request is None:
            return None
        for position, scope in enumerate(resolved):
            try:
                check_scope(request, scope.key, f"mutations[{position}].scope")
            except ValidationFailedError as error:
                _blame(error, commit, position)
                raise
        return request.head.key

    async def _resource_change(
        self, mutation: StateMutation, scope: ResolvedTarget, request: RequestKey | None, found: FoundOwner
    ) -> ChangeResource:
        rules = self._resources.rules(self._resources.of(mutation.target, scope), mutation.resource)
        terms = WriteTerms(mutation.precondition, request=request)
        return await self._writing.change(
            found, mutation.resource, rules, mutation.operations, terms, makes=False
        )

    async def _change(
        self,
        mutation: StateMutation,
        scope: ResolvedTarget,
        request: RequestKey | None,
        expected: Upgraded | None,
    ) -> ChangeState:
        rules = scope.rules
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


def _order(commit: StateCommit) -> list[int]:
    """The mutations as they are committed, those of resources last: a scope whose record is made has it by then."""
    return sorted(
        range(len(commit.mutations)), key=lambda position: bool(commit.mutations[position].resource)
    )


def _unchanged(_: StateRecord) -> NoChange:
    return NO_CHANGE


def _blame(error: ServiceError, commit: StateCommit, position: int | None) -> None:
    """Say in the error which mutation is at fault; ``None`` if none by itself is."""
    if position is not None:
        target = commit.mutations[position].target
        error.mutation = MutationAtFault(position, target.kind.value, target.id)


def _violation(path: str, rule: str, message: str) -> ValidationFailedError:
    return ValidationFailedError((Violation(path, rule, message),))
