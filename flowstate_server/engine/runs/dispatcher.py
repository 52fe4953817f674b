"""Dispatch: from a call of an action to a stored request and its run."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flowstate_server.engine.bindings import (
    Binding,
    Bindings,
    binding_of,
    check_binding,
    claimed_org,
    claimed_user,
)
from flowstate_server.engine.calls.runs import ActionCall, Dispatched
from flowstate_server.engine.runs.items import RunHistory, RunItems
from flowstate_server.engine.runs.keyed_locks import KeyedLocks
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.runs.run import Run
from flowstate_server.engine.runs.run_parts import RunParts
from flowstate_server.engine.runs.scope_handle import RunScope
from flowstate_server.engine.runs.session_handle import RunSession
from flowstate_server.engine.runs.supervisor import Supervisor
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.engine.state_change import ChangeRules, shared_scopes
from flowstate_server.errors import (
    LeaseLostError,
    MessageTooLargeError,
    RequestAlreadyExistsError,
    RequestNotFoundError,
    StoreUnavailableError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.flows.action import Action
from flowstate_server.flows.context import SessionIdentity
from flowstate_server.flows.flow import Flow
from flowstate_server.flows.registry import FlowRegistry
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id, new_id, new_log_id
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import RequestRecord, SessionRecord, StateRecord
from flowstate_server.model.scopes import (
    RequestKey,
    ScopeKey,
    ScopeKind,
    SessionKey,
    request_scope,
    session_scope,
)
from flowstate_server.state.json_profile import parse_json
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    CommitResult,
    CreateRequest,
    CreateSession,
    RequireSession,
    SessionChanged,
)
from flowstate_server.stores.store import Store

TO_CLIENTS = frozenset((Audience.CLIENT,))
RACES = 5


@frozen
class _Checked:
    """A call that passed every check that needs no store."""

    call: ActionCall
    flow: Flow
    action: Action[Any, Any]
    value: Any
    tenant: str
    user_id: str
    fingerprint: str
    request: RequestKey
    session: SessionKey
    timeout: float | None


class Dispatcher:
    """Validates calls, stores requests, starts runs."""

    def __init__(
        self,
        store: Store,
        registry: FlowRegistry,
        bindings: Bindings,
        supervisor: Supervisor,
        settings: EngineSettings,
    ) -> None:
        self._store = store
        self._registry = registry
        self._bindings = bindings
        self._supervisor = supervisor
        self._settings = settings
        self._locks: KeyedLocks[ScopeKey] = KeyedLocks()

    async def dispatch(self, principal: Principal, call: ActionCall) -> Dispatched:
        """Store the request and start its run, or attach to the request of an earlier, equal call.

        The caller may leave at any moment: what was begun is stored and run, or nothing is.
        """
        checked = self._check(principal, call)
        return await asyncio.shield(self._supervisor.spawn(self._store_and_run(principal, checked)))

    def _check(self, principal: Principal, call: ActionCall) -> _Checked:
        flow = self._registry.get(call.flow_kind)
        action = self._registry.action(call.flow_kind, call.action)
        check_id("session_id", call.session_id, required=False)
        check_id("request_id", call.request_id, required=False)
        user_id = claimed_user(principal, call.user_id)
        claimed_org(principal, call.org_id)
        if len(call.input) > self._settings.max_input_bytes:
            raise MessageTooLargeError("The input", len(call.input), self._settings.max_input_bytes)
        parse_json(call.input, "/input")
        value = action.validate_input_json(call.input)
        return _Checked(
            call,
            flow,
            action,
            value,
            principal.tenant,
            user_id,
            _fingerprint(call),
            RequestKey(principal.tenant, call.request_id or new_id("req_")),
            SessionKey(principal.tenant, call.session_id or _ephemeral_id()),
            _timeout(call, action),
        )

    async def _store_and_run(self, principal: Principal, checked: _Checked) -> Dispatched:
        for _ in range(RACES):
            binding = None
            if checked.call.session_id:
                binding = await self._bindings.find(checked.session)
            org_id = claimed_org(principal, checked.call.org_id)
            if binding is not None:
                check_binding(
                    principal,
                    binding,
                    user_id=checked.user_id,
                    org_id=checked.call.org_id,
                    flow_kind=checked.flow.kind,
                )
                org_id = binding.org_id
            process = self._supervisor.process
            try:
                return await self._commit(checked, binding, org_id, process)
            except SessionChanged:
                self._bindings.forget(checked.session)
            except LeaseLostError:
                await self._supervisor.begin_anew(process)
        raise StoreUnavailableError

    async def _commit(
        self, checked: _Checked, binding: Binding | None, org_id: str, process: str
    ) -> Dispatched:
        flow = checked.flow
        scopes = {ScopeKind.SESSION: session_scope(checked.session)}
        scopes |= shared_scopes(flow, checked.user_id, org_id)
        declared = tuple(key for kind, key in scopes.items() if flow.schemas[kind].fields)
        created = CreateRequest(
            checked.request,
            checked.session,
            new_log_id(),
            checked.user_id,
            org_id,
            checked.fingerprint,
            process,
            flow.kind,
            checked.action.name,
            tuple(scopes.values()),
            checked.call.input,
            load=declared,
        )
        session = _session_write(checked, binding, org_id)
        logged = AppendEvents(checked.session, _first_events(checked), checked.request)
        result = await self._store.commit((session, created, logged))
        if result.attached is not None:
            record = await self._store.get_request(checked.request)
            if record is None:
                raise RequestNotFoundError(checked.request.request_id)
            if org_id and record.org_id and org_id != record.org_id:
                raise RequestAlreadyExistsError(checked.request.request_id)
            return Dispatched(record, attached=True)
        record = self._start(checked, result, scopes)
        return Dispatched(record, attached=False)

    def _start(
        self, checked: _Checked, result: CommitResult, scopes: Mapping[ScopeKind, ScopeKey]
    ) -> RequestRecord:
        session_result, request_result, logged = result.results
        session, record = session_result.session, request_result.request
        if session is None or record is None or logged.head is None:
            raise TypeError("the store's result lacks the session or the request")
        record = replace(record, head=logged.head)
        self._bindings.remember(binding_of(session))
        run = self._run(
            checked, session, record, {state.key: state for state in request_result.states}, scopes
        )
        self._supervisor.start(run)
        return record

    def _run(
        self,
        checked: _Checked,
        session: SessionRecord,
        record: RequestRecord,
        loaded: Mapping[ScopeKey, StateRecord],
        scopes: Mapping[ScopeKind, ScopeKey],
    ) -> Run:
        flow, head = checked.flow, record.head
        recorder = Recorder(self._store, head.key, head.session, head.process, self._settings)
        items = RunItems(recorder, head, self._settings)
        history = RunHistory(self._store, head, items, flow.history_window)
        identity = SessionIdentity(
            session.key.session_id, session.user_id, session.org_id, session.key.tenant
        )
        handles = {
            kind: RunScope(
                loaded.get(key) or StateRecord(key),
                ChangeRules.of(flow, kind, self._settings.max_state_bytes),
                head.key,
                recorder,
                self._store,
                self._locks,
                flow.cas_attempts,
            )
            for kind, key in {**scopes, ScopeKind.REQUEST: request_scope(head.key)}.items()
        }
        session_handle = RunSession(session, identity, head, recorder, history)
        loop = asyncio.get_running_loop()
        parts = RunParts(head, flow, handles, session_handle, items, recorder, loop)
        return Run(record, checked.action, checked.value, parts, self._settings, checked.timeout)


def _session_write(checked: _Checked, binding: Binding | None, org_id: str) -> CreateSession | RequireSession:
    if binding is not None:
        return RequireSession(checked.session, binding.log_id)
    return CreateSession(
        checked.session,
        new_log_id(),
        checked.flow.kind,
        checked.user_id,
        org_id,
        ephemeral=not checked.call.session_id,
    )


def _first_events(checked: _Checked) -> tuple[Event, ...]:
    created = encode_json({"flow_kind": checked.flow.kind, "action": checked.action.name})
    return (
        Event(EventType.REQUEST_CREATED, created, TO_CLIENTS),
        Event(EventType.REQUEST_IN_PROGRESS, b'{"attempt":1}', TO_CLIENTS),
    )


def _fingerprint(call: ActionCall) -> str:
    """A digest of the fields as sent, the request id apart: a repeat must be the same call."""
    sent = (call.flow_kind, call.action, call.session_id, call.user_id, call.org_id, call.execution_timeout)
    return hashlib.sha256(encode_json(list(sent)) + b"\n" + call.input).hexdigest()[:32]


def _ephemeral_id() -> str:
    now = datetime.now(UTC)
    return f"ephemeral_{now:%Y%m%d%H%M%S}_{secrets.token_hex(10)}"


def _timeout(call: ActionCall, action: Action[Any, Any]) -> float | None:
    asked = call.execution_timeout
    if asked is not None and asked <= 0:
        raise ValidationFailedError((Violation("execution_timeout", "range", "must be positive"),))
    declared = [limit for limit in (asked, action.timeout) if limit is not None]
    return min(declared) if declared else None
