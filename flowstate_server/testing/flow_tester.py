"""Run a flow's action in a test: no gRPC, no database, no server."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from pydantic import BaseModel

from flowstate_server.engine.calls.journals import JournalQuery
from flowstate_server.engine.calls.logs import TailBatch, TailCall
from flowstate_server.engine.calls.runs import ActionCall
from flowstate_server.engine.calls.sessions import NewSession
from flowstate_server.engine.calls.state import ScopeTarget, StateCommit, StateMutation
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.upgrades import RecordUpgrades
from flowstate_server.errors import ScopeUnavailableError, SessionNotFoundError
from flowstate_server.flows.flow import Flow
from flowstate_server.model.clock import Seconds
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.model.ids import new_id
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.model.records import RequestRecord, RequestStatus, StateRecord
from flowstate_server.model.scopes import (
    ScopeKind,
    SessionKey,
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.journal import JournalEntry
from flowstate_server.programs.program import HostedFlow
from flowstate_server.programs.tracebacks import without_our_frames
from flowstate_server.schemas.pydantic.python_values import input_json, to_json
from flowstate_server.state.operations import Operation, patch_state, set_state
from flowstate_server.stores.contract.writes import Changed, ChangeState
from flowstate_server.stores.memory.store import MemoryStore
from flowstate_server.stores.store import Store
from flowstate_server.testing.flow_resources import FlowResources, GivenResources
from flowstate_server.testing.flow_run import FlowRun, RunEvent, ScopeAfter
from flowstate_server.testing.watched_program import Insight, WatchedProgram

NO_INPUT: Mapping[str, Any] = MappingProxyType({})
"""What a call that gives no input sends."""

State = BaseModel | Mapping[str, Any]
"""The state of a scope before a run: of the fields that the flow declares there, as many as you like."""

_TESTER = Principal(plane=Plane.TRUSTED)


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that goes on. Made by :meth:`FlowTester.start`."""

    tester: FlowTester
    request_id: str

    async def result(self, *, check: bool = True, timeout: float = 30.0) -> FlowRun:
        """The run once it has ended.

        Raises:
            FlowRunFailed: it failed; not without ``check``.
            TimeoutError: it has not ended after ``timeout`` seconds; it goes on.
        """
        __tracebackhide__ = True
        requests = self.tester.engine.requests
        waited = await requests.wait(_TESTER, self.request_id, Seconds(timeout))
        if not waited.done:
            raise TimeoutError(f'action "{waited.request.action}" has not ended after {timeout:g} s')
        run = await self.tester.look_at(waited.request)
        if check:
            run.check()
        return run

    async def cancel(self, reason: str = "", *, timeout: float = 30.0) -> FlowRun:
        """Cancel the run as a client does, and wait for its end. It is ``aborted``, unless it ended in another way
        before; a failure is in the result, not raised."""
        await self.tester.engine.requests.cancel(_TESTER, self.request_id, reason)
        return await self.result(check=False, timeout=timeout)


class FlowTester:
    """Runs actions of one flow against one store: a conversation in a test.

    ::

        async with FlowTester(chat) as tester:
            first = await tester.run("say", Say(message="hi"), session_id="s")
            second = await tester.run("say", Say(message="again"), session_id="s")
    """

    def __init__(self, flow: Flow, store: Store | None = None, *, dependencies: object = None) -> None:
        """``dependencies`` is what ``ctx.dependency`` finds: one thing, or a tuple of several, as a lifespan yields."""
        self._flow = flow
        self._program = WatchedProgram(flow.program)
        catalogue = Catalogue([HostedFlow(flow.described, self._program)])
        self.engine = Engine(store or MemoryStore(), catalogue, lifespan=lambda: nullcontext(dependencies))
        self._resources = FlowResources(self.engine, flow, _TESTER)

    async def __aenter__(self) -> FlowTester:
        await self.engine.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.engine.close()

    async def run(
        self, action: str, input: Any = NO_INPUT, *, check: bool = True, timeout: float = 30.0, **call: Any
    ) -> FlowRun:
        """Call ``action`` and wait for its end: :meth:`start`, whose arguments it takes, and its result.

        Raises:
            FlowRunFailed: the run failed, from what the block raised. Without ``check`` it is returned like any other.
            TimeoutError: it has not ended after ``timeout`` seconds.
            ValidationFailedError: the input or a state is not of its type; there is no run.
        """
        __tracebackhide__ = True
        started = await self.start(action, input, **call)
        return await started.result(check=check, timeout=timeout)

    async def start(
        self,
        action: str,
        input: Any = NO_INPUT,
        *,
        session_id: str = "",
        user_id: str = "user",
        org_id: str = "",
        session_state: State | None = None,
        user_state: State | None = None,
        org_state: State | None = None,
        request_state: State | None = None,
        state_generation: int | None = None,
        resources: GivenResources | None = None,
    ) -> StartedRun:
        """Call ``action`` and do not wait for its end.

        Args:
            action: Its name.
            input: A model or JSON; without it ``{}``, as for clients.
            session_id: A session of earlier runs, or a new one; without it one that nobody else has.
            user_id, org_id: Whose session it is.
            session_state, user_state, org_state, request_state: What is stored in that scope before the run.
            state_generation: The generation of the flow that stored the session's, user's and org's state. These are
                then stored as they are given, whether or not they fit the flow of today, which upgrades them.
            resources: By name what there is before the run: a state (a model or a dict of fields), a content (text or
                bytes), or a :class:`ResourceBefore` with both.

        Raises:
            ValidationFailedError: the input or a state is not of its type; there is no run.
        """
        __tracebackhide__ = True
        request_id = new_id("req_")
        try:
            if session_state is not None:
                session_id = session_id or new_id("ses_")
                await self._require_session(session_id, user_id, org_id)
                await self._set_state(ScopeKind.SESSION, session_id, session_state, state_generation)
            if user_state is not None:
                await self._set_state(ScopeKind.USER, user_id, user_state, state_generation)
            if org_state is not None:
                if not org_id:
                    raise ValueError("an org's state needs the org: give org_id, too")
                await self._set_state(ScopeKind.ORG, org_id, org_state, state_generation)
            if resources:
                session_id = session_id or new_id("ses_")
                await self._require_session(session_id, user_id, org_id)
                await self._put_resources(resources, session_id, user_id, org_id)
            if request_state is not None:
                to_json = self._flow.schemas[ScopeKind.REQUEST].fields_json
                self._program.presets[request_id] = patch_state(request_state, to_json)
            call = ActionCall(
                flow_kind=self._flow.kind,
                action=action,
                input=encode_json(input_json(input, "/input")),
                session_id=session_id,
                user_id=user_id,
                org_id=org_id,
                request_id=request_id,
            )
            await self.engine.dispatcher.dispatch(_TESTER, call)
        except Exception as error:
            without_our_frames(error)
            raise
        return StartedRun(self, request_id)

    async def _require_session(self, session_id: str, user_id: str, org_id: str) -> None:
        try:
            await self.engine.sessions.get(_TESTER, session_id)
        except SessionNotFoundError:
            new = NewSession(self._flow.kind, session_id, user_id, org_id)
            await self.engine.sessions.create(_TESTER, new, "", "")

    async def _put_resources(
        self, resources: GivenResources, session_id: str, user_id: str, org_id: str
    ) -> None:
        __tracebackhide__ = True
        owners = {ScopeKind.SESSION: session_id, ScopeKind.USER: user_id, ScopeKind.ORG: org_id}
        for scope, given in self._resources.by_scope(resources).items():
            if not owners[scope]:
                raise ValueError("an org's resources need the org: give org_id, too")
            await self._resources.put(scope, owners[scope], given)

    def _to_set(self, kind: ScopeKind, state: State) -> tuple[Operation, ...]:
        return set_state(state, self._flow.schemas[kind].fields_json)

    async def _set_state(self, kind: ScopeKind, of: str, state: State, generation: int | None) -> None:
        if generation is not None:
            await self._store_as(kind, of, state, generation)
            return
        target = ScopeTarget(kind, of, self._flow.kind)
        mutation = StateMutation(target, self._to_set(kind, state))
        await self.engine.states.commit(_TESTER, StateCommit((mutation,)))

    async def _store_as(self, kind: ScopeKind, of: str, state: State, generation: int) -> None:
        """Store ``state`` as a deploy of that generation did."""
        fields = cast(JsonObject, to_json(state, ""))
        isolated_flow = self._flow.kind if self._flow.isolates(kind) else ""
        keys = {
            ScopeKind.SESSION: session_scope(SessionKey(_TESTER.tenant, of)),
            ScopeKind.USER: user_scope(of, isolated_flow=isolated_flow),
            ScopeKind.ORG: org_scope(of, isolated_flow=isolated_flow),
        }
        stored = Changed(fields, encode_json(fields), generations=((self._flow.kind, generation),))
        await self.engine.store.commit((ChangeState(keys[kind], lambda record: stored),))

    async def look_at(self, record: RequestRecord) -> FlowRun:
        """What a run that has ended left behind."""
        session_id = record.head.session.session_id
        insight = self._program.insights.get(record.key.request_id, Insight())
        failed = record.head.status is RequestStatus.FAILED
        if failed and insight.error is not None:
            without_our_frames(insight.error, brief=True)
        states = await self.engine.store.load_states(record.scopes)
        scopes = {key.kind: self._scope(states[key]) for key in record.scopes}
        snapshot = await self.engine.snapshots.get(_TESTER, session_id, ())
        return FlowRun(
            record=record,
            session_id=session_id,
            session=scopes[ScopeKind.SESSION],
            user=scopes[ScopeKind.USER],
            org=scopes.get(ScopeKind.ORG),
            request=self._scope(insight.request_state or StateRecord(request_scope(record.key))),
            exception=insight.error if failed else None,
            client_data={shown.scope.value: shown.values for shown in snapshot.scopes},
            client_failures={
                shown.scope.value: shown.failures for shown in snapshot.scopes if shown.failures
            },
            events=await self._log(record.key.request_id),
            journal=await self._journal(session_id),
            resources=await self._resources.after({key.kind: key.id for key in record.scopes}),
        )

    def _scope(self, record: StateRecord) -> ScopeAfter:
        kind = record.key.kind
        upgraded = record
        with suppress(ScopeUnavailableError):  # which the run has told, if it has looked there
            upgrades = RecordUpgrades.of(self.engine.catalogue, kind, self._flow.described)
            upgraded = upgrades.upgraded(record).record
        return ScopeAfter(record.state, record.version, self._flow.schemas[kind], upgraded.state)

    async def _journal(self, session_id: str) -> list[JournalEntry]:
        entries: list[JournalEntry] = []
        token = ""
        while True:
            page = await self.engine.journals.list(_TESTER, JournalQuery(session_id, page_token=token))
            entries += [JournalEntry.of(record) for record in page.entries]
            token = page.next_page_token
            if not token:
                return entries

    async def _log(self, request_id: str) -> list[RunEvent]:
        events: list[RunEvent] = []
        async for frame in self.engine.events.follow(_TESTER, TailCall(request_id, replay_only=True)):
            if isinstance(frame, TailBatch):
                events += map(RunEvent, frame.events)
        return events


async def run_flow(
    flow: Flow,
    action: str,
    input: Any = NO_INPUT,
    *,
    check: bool = True,
    timeout: float = 30.0,
    session_id: str = "",
    user_id: str = "user",
    org_id: str = "",
    session_state: State | None = None,
    user_state: State | None = None,
    org_state: State | None = None,
    request_state: State | None = None,
    state_generation: int | None = None,
    resources: GivenResources | None = None,
    store: Store | None = None,
    dependencies: object = None,
) -> FlowRun:
    """Run one action of ``flow`` in a new session in memory and tell what came of it.

    ::

        async def test_say():
            run = await run_flow(chat, "say", Say(message="plan it"))
            assert run.session.state_as(Counted).message_count == 1

    The arguments are those of :class:`FlowTester` and :meth:`FlowTester.start`.

    Raises:
        FlowRunFailed: the run failed, from what the block raised. Without ``check`` it is returned like any other.
        TimeoutError: it has not ended after ``timeout`` seconds.
        ValidationFailedError: the input or a state is not of its type; there is no run.
    """
    __tracebackhide__ = True
    async with FlowTester(flow, store, dependencies=dependencies) as tester:
        return await tester.run(
            action,
            input,
            check=check,
            timeout=timeout,
            session_id=session_id,
            user_id=user_id,
            org_id=org_id,
            session_state=session_state,
            user_state=user_state,
            org_state=org_state,
            request_state=request_state,
            state_generation=state_generation,
            resources=resources,
        )
