"""Dispatch: from a call of an action to a stored request and its run."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
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
from flowstate_server.engine.drawn_fields import DrawnFields
from flowstate_server.engine.large_messages import read_aside
from flowstate_server.engine.rehearsals import Rehearsals
from flowstate_server.engine.runs.gates import entry, gate_of, rejection
from flowstate_server.engine.runs.run import Run
from flowstate_server.engine.runs.run_factory import RunFactory
from flowstate_server.engine.runs.starting_points import loaded_resources, loaded_scopes
from flowstate_server.engine.runs.supervisor import Supervisor
from flowstate_server.engine.runs.unbegun import Patience
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.engine.state_change import shared_scopes
from flowstate_server.errors import (
    LeaseLostError,
    MessageTooLargeError,
    RequestAlreadyExistsError,
    RequestNotFoundError,
    ServiceError,
    StoreUnavailableError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.log_context import found
from flowstate_server.model.clock import Micros, Seconds, micros
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id, new_id, new_log_id
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.payloads import RequestCreated, RequestInProgress
from flowstate_server.model.records import RequestRecord, RequestStatus, moved_on
from flowstate_server.model.scopes import (
    RequestKey,
    ScopeKind,
    SessionKey,
    request_scope,
    session_scope,
)
from flowstate_server.programs.author_code import EXITS, contained
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import ActionDescription, FlowDescription
from flowstate_server.programs.program import HostedFlow, Program
from flowstate_server.state.json_profile import parse_json
from flowstate_server.stores.contract.gate_writes import GateTaken
from flowstate_server.stores.contract.tombstone_writes import Withheld, Withhold
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    CommitResult,
    CreateRequest,
    CreateSession,
    RequireSession,
    SessionChanged,
    Write,
)
from flowstate_server.stores.store import Store

_logger = logging.getLogger(__name__)

# Attempts. Each is lost only to another call about the same session or request; what that one made is then found.
RACES = 5
LONGEST = Micros(2**62)
"""A longer time limit is none; stores keep integers of 64 bits."""
_IN_PROGRESS = Event(EventType.REQUEST_IN_PROGRESS, RequestInProgress(attempt=1).encode(), FOR_CLIENTS)


@frozen
class _Checked:
    """A call that passed every check that needs no store."""

    call: ActionCall
    hosted: HostedFlow
    action: ActionDescription
    value: Any
    user_id: str
    fingerprint: str
    request: RequestKey
    session: SessionKey
    timeout: Seconds | None
    gate: str

    @property
    def flow(self) -> FlowDescription:
        return self.hosted.described


class Dispatcher:
    """Validates a call, finds whom its session belongs to, stores the request in one commit, and starts its run."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        bindings: Bindings,
        supervisor: Supervisor,
        factory: RunFactory,
        settings: EngineSettings,
        rehearsals: Rehearsals,
        patience: Patience,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._bindings = bindings
        self._supervisor = supervisor
        self._factory = factory
        self._settings = settings
        self._rehearsals = rehearsals
        self._patience = patience

    async def dispatch(self, principal: Principal, call: ActionCall) -> Dispatched:
        """Store the request and start its run, or attach to the request of an earlier, equal call; or only find out
        what would become of it.

        The caller may leave at any moment: what was begun is stored and run, or nothing is.
        """
        try:
            checked = await self._check(principal, call)
        except ServiceError:
            # By the flow as it is here: the server that took the call first may have it otherwise.
            repeated = await self._repeated(principal, call)
            if repeated is None:
                raise
            found(repeated.request)
            return repeated
        answer: asyncio.Future[Dispatched] = asyncio.get_running_loop().create_future()
        task = self._supervisor.spawn(self._store_and_run(principal, checked, answer))
        # Also of a task that is cancelled before it has begun the caller has to hear.
        task.add_done_callback(partial(_over, answer))
        try:
            dispatched = await answer
        finally:
            del answer  # or an exception's traceback holds the frame that holds the exception
        found(dispatched.request)
        return dispatched

    async def _store_and_run(
        self, principal: Principal, checked: _Checked, answer: asyncio.Future[Dispatched]
    ) -> None:
        """One task for both, which are begun for each call."""
        try:
            dispatched, run = await self._stored(principal, checked)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if answer.done():
                _tell_of(error)
            else:
                answer.set_exception(error)
            del answer  # as above
            return
        if not answer.done():
            answer.set_result(dispatched)
        if run is not None:
            await self._supervisor.execute(run)

    async def _check(self, principal: Principal, call: ActionCall) -> _Checked:
        hosted = self._catalogue.get(call.flow_kind)
        action = hosted.described.action(call.action)
        check_id("session_id", call.session_id, required=False)
        check_id("request_id", call.request_id, required=False)
        user_id = claimed_user(principal, call.user_id)
        claimed_org(principal, call.org_id)
        if len(call.input) > self._settings.max_input_bytes:
            raise MessageTooLargeError("The input", len(call.input), self._settings.max_input_bytes)
        await read_aside(len(call.input), parse_json, call.input, "/input")
        value = await _checked_input(hosted.program, action, call)
        session = SessionKey(principal.tenant, call.session_id or _ephemeral_id())
        return _Checked(
            call=call,
            hosted=hosted,
            action=action,
            value=value,
            user_id=user_id,
            fingerprint=_fingerprint(call),
            request=RequestKey(principal.tenant, call.request_id or new_id("req_")),
            session=session,
            timeout=_timeout(call, action),
            gate="" if action.concurrency is None else await gate_of(hosted, action, value, session, user_id),
        )

    async def _repeated(self, principal: Principal, call: ActionCall) -> Dispatched | None:
        """The request of an earlier, equal call of this caller's, if there is one."""
        try:
            check_id("request_id", call.request_id)
            user_id, org_id = claimed_user(principal, call.user_id), claimed_org(principal, call.org_id)
        except ServiceError:
            return None
        record = await self._store.get_request(RequestKey(principal.tenant, call.request_id))
        if record is None or (org_id and org_id != record.org_id):
            return None
        if (record.head.user_id, record.head.fingerprint) != (user_id, _fingerprint(call)):
            return None
        return Dispatched(record, attached=True)

    async def _stored(self, principal: Principal, checked: _Checked) -> tuple[Dispatched, Run | None]:
        """What the caller is told, and what is to run."""
        for _ in range(RACES):
            binding = None
            if checked.call.session_id:
                binding = await self._bindings.passed(
                    checked.session,
                    lambda found: check_binding(
                        principal,
                        found,
                        user_id=checked.user_id,
                        org_id=checked.call.org_id,
                        flow_kind=checked.flow.kind,
                    ),
                )
            org_id = claimed_org(principal, checked.call.org_id) if binding is None else binding.org_id
            process_id = self._supervisor.process_id
            try:
                return await self._create(checked, binding, org_id, process_id)
            except GateTaken as taken:
                raise await rejection(self._store, principal, taken) from None
            except SessionChanged:
                self._bindings.forget(checked.session)
            except LeaseLostError:
                await self._supervisor.begin_anew(process_id)
        raise StoreUnavailableError

    async def _create(
        self, checked: _Checked, binding: Binding | None, org_id: str, process_id: str
    ) -> tuple[Dispatched, Run | None]:
        flow = checked.flow
        scopes = {ScopeKind.SESSION: session_scope(checked.session)}
        scopes |= shared_scopes(flow, checked.user_id, org_id)
        created = CreateRequest(
            key=checked.request,
            session=checked.session,
            log_id=new_log_id(),
            user_id=checked.user_id,
            org_id=org_id,
            fingerprint=checked.fingerprint,
            process=process_id,
            flow_kind=flow.kind,
            action=checked.action.name,
            scopes=tuple(scopes.values()),
            input=checked.call.input,
            load=loaded_scopes(flow, checked.action, scopes),
            load_documents=()
            if binding is None  # a session that is made has none yet
            else loaded_resources(checked.action, checked.session, binding.log_id),
            gate=checked.gate,
            timeout=Micros(0) if checked.timeout is None else min(micros(checked.timeout), LONGEST),
            correlation_id=checked.call.correlation_id,
        )
        session = _session_write(checked, binding, org_id)
        logged = AppendEvents(checked.session, _first_events(checked), checked.request)
        limit = self._settings.max_state_bytes
        drawn = DrawnFields(checked.hosted, self._catalogue, limit, self._rehearsals)
        loaded = drawn.writes(scopes)
        own = drawn.writes({ScopeKind.REQUEST: request_scope(checked.request)}, checked.request)
        batch: list[Write] = [session, *loaded, created, logged, *own]
        if checked.action.concurrency is not None:
            within = checked.call.within
            batch.append(entry(checked.action.concurrency, checked.request, checked.gate, within))
        if checked.call.validate_only:
            batch.append(Withhold())
        try:
            result = await drawn.commit(self._store, batch)
        except Withheld as withheld:
            return _validated(checked, _stored_record(checked, withheld.result, 1 + len(loaded))), None
        if result.attached is not None:
            return await self._attached(checked, org_id), None
        record = _stored_record(checked, result, 1 + len(loaded))
        run = self._run_of(checked, record, result, 1 + len(loaded))
        return Dispatched(record, attached=False), run

    async def _attached(self, checked: _Checked, org_id: str) -> Dispatched:
        record = await self._store.get_request(checked.request)
        if record is None:
            raise RequestNotFoundError(checked.request.request_id)
        if org_id and org_id != record.org_id:
            raise RequestAlreadyExistsError(checked.request.request_id)
        return Dispatched(record, attached=True)

    def _run_of(
        self, checked: _Checked, record: RequestRecord, result: CommitResult, place: int
    ) -> Run | None:
        """``place`` is that of the request among the writes; ``None`` if it has to wait for its turn."""
        session_result = result.results[0]
        request_result, _, *own = result.results[place:]
        session = session_result.session
        if session is None:
            raise TypeError("the store's result lacks the session")
        self._bindings.remember(binding_of(session))
        if record.head.status is RequestStatus.QUEUED:
            if checked.action.concurrency is not None:
                self._patience.expect(checked.action.concurrency.timeout)
            return None
        return self._factory.make(
            request=record,
            session=session,
            states=(*request_result.states, *(made.state for made in own if made.state is not None)),
            flow=checked.flow,
            program=checked.hosted.program,
            value=checked.value,
            timeout=checked.timeout,
            documents=request_result.documents,
        )


def _stored_record(checked: _Checked, result: CommitResult, place: int) -> RequestRecord:
    """The request as it was stored; its gate, if it has one, is the last of the writes."""
    created, logged = result.results[place : place + 2]
    head = result.results[-1].head if checked.gate else logged.head
    if created.request is None or head is None:
        raise TypeError("the store's result lacks the request")
    return moved_on(created.request, head)


def _validated(checked: _Checked, record: RequestRecord) -> Dispatched:
    """What would have been stored, without the ids that were made up for it."""
    call = checked.call
    head = replace(
        record.head,
        key=RequestKey(checked.request.tenant, call.request_id),
        session=SessionKey(checked.session.tenant, call.session_id),
    )
    return Dispatched(replace(record, head=head), attached=False)


async def _checked_input(program: Program, action: ActionDescription, call: ActionCall) -> Any:
    try:
        return await program.check_input(action.name, call.input)
    except EXITS as error:  # which would end the event loop
        raise contained(error) from error


def _over(answer: asyncio.Future[Dispatched], task: asyncio.Task[None]) -> None:
    answer.cancel()  # without effect if it was given


def _tell_of(error: BaseException) -> None:
    """What becomes of a dispatch whose caller has left is told to nobody else."""
    if isinstance(error, ServiceError):
        _logger.info("a dispatch whose caller has left was refused: %s", error)
    else:
        _logger.error("a dispatch whose caller has left failed", exc_info=error)


def _session_write(checked: _Checked, binding: Binding | None, org_id: str) -> CreateSession | RequireSession:
    if binding is not None:
        return RequireSession(checked.session, binding.log_id)
    return CreateSession(
        key=checked.session,
        log_id=new_log_id(),
        flow_kind=checked.flow.kind,
        user_id=checked.user_id,
        org_id=org_id,
        ephemeral=not checked.call.session_id,
    )


def _first_events(checked: _Checked) -> tuple[Event, ...]:
    told = RequestCreated(checked.flow.kind, checked.action.name)
    created = Event(EventType.REQUEST_CREATED, told.encode(), FOR_CLIENTS)
    # What comes next at a gate is told by the write that enters it.
    return (created,) if checked.gate else (created, _IN_PROGRESS)


def _fingerprint(call: ActionCall) -> str:
    """A digest of the fields as sent, the request id apart: a repeat must be the same call."""
    sent = (call.flow_kind, call.action, call.session_id, call.user_id, call.org_id, call.execution_timeout)
    return hashlib.sha256(encode_json(list(sent)) + b"\n" + call.input).hexdigest()[:32]


def _ephemeral_id() -> str:
    now = datetime.now(UTC)
    return f"ephemeral_{now:%Y%m%d%H%M%S}_{secrets.token_hex(10)}"


def _timeout(call: ActionCall, action: ActionDescription) -> Seconds | None:
    asked = call.execution_timeout
    if asked is not None and asked <= 0:
        raise ValidationFailedError((Violation("execution_timeout", "range", "must be positive"),))
    declared = [limit for limit in (asked, action.timeout) if limit is not None]
    return min(declared) if declared else None
