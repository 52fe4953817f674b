"""Run a flow's action in a test: no gRPC, no database, no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel

from flowstate_server.engine.calls.journals import JournalQuery
from flowstate_server.engine.calls.logs import TailBatch, TailCall
from flowstate_server.engine.calls.runs import ActionCall
from flowstate_server.engine.engine import Engine
from flowstate_server.flows.flow import Flow
from flowstate_server.flows.registry import FlowRegistry
from flowstate_server.model.clock import Seconds
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.model.json_values import Json, decode_json, encode_json
from flowstate_server.model.records import Failure, RequestRecord, RequestStatus, StateRecord
from flowstate_server.model.scopes import ScopeKey, ScopeKind
from flowstate_server.programs.history import HistoryItem
from flowstate_server.programs.journal import JournalEntry
from flowstate_server.schemas.pydantic.python_values import input_json
from flowstate_server.stores.memory.store import MemoryStore
from flowstate_server.stores.store import Store

OutputT = TypeVar("OutputT")
NO_INPUT: Mapping[str, Any] = MappingProxyType({})
"""What a call that gives no input sends."""


@dataclass(frozen=True, slots=True)
class ScopeAfter:
    """A scope when the run had ended: its typed state, and the version of its record."""

    state: Any
    version: int


@dataclass(frozen=True, slots=True)
class FlowRun:
    """What a run left behind. ``org`` is ``None`` when the session has none; ``journal`` is that of the session, with
    the notes of earlier runs."""

    request: RequestRecord
    session_id: str
    session: ScopeAfter
    user: ScopeAfter
    org: ScopeAfter | None
    events: Sequence[EventRecord]
    journal: Sequence[JournalEntry]

    @property
    def status(self) -> RequestStatus:
        return self.request.head.status

    @property
    def output(self) -> Json:
        """The action's output as JSON."""
        return None if self.request.output is None else decode_json(self.request.output)

    @property
    def failure(self) -> Failure | None:
        return self.request.failure

    @property
    def items(self) -> list[HistoryItem]:
        """The items the run appended."""
        return [
            HistoryItem.of(record.event.item, record.request_id, record.time)
            for record in self.events
            if record.event.item is not None
        ]

    def event_types(self) -> list[EventType]:
        return [record.event.type for record in self.events]


class FlowTester:
    """Runs actions of one flow against one store, one after another: a conversation in a test.

    ::

        async with FlowTester(chat) as tester:
            first = await tester.run("say", Say(message="hi"), session_id="s")
            second = await tester.run("say", Say(message="again"), session_id="s")
    """

    def __init__(self, flow: Flow, store: Store | None = None) -> None:
        self._flow = flow
        self._engine = Engine(store or MemoryStore(), FlowRegistry([flow]))

    async def __aenter__(self) -> FlowTester:
        await self._engine.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._engine.close()

    async def run(
        self,
        action: str,
        input: Any = NO_INPUT,
        *,
        session_id: str = "",
        user_id: str = "user",
        org_id: str = "",
        timeout: float = 30.0,
    ) -> FlowRun:
        """Call ``action`` and wait for its end; a failure is in the result, not raised.

        Without ``input`` it is ``{}``, as it is for clients.
        """
        principal = Principal(plane=Plane.TRUSTED)
        call = ActionCall(
            flow_kind=self._flow.kind,
            action=action,
            input=encode_json(input_json(input, "/input")),
            session_id=session_id,
            user_id=user_id,
            org_id=org_id,
        )
        dispatched = await self._engine.dispatcher.dispatch(principal, call)
        request_id = dispatched.request.key.request_id
        waited = await self._engine.requests.wait(principal, request_id, Seconds(timeout))
        record = waited.request
        states = await self._engine.store.load_states(record.scopes)
        scopes = {key.kind: self._scope(key, states[key]) for key in record.scopes}
        return FlowRun(
            request=record,
            session_id=record.head.session.session_id,
            session=scopes[ScopeKind.SESSION],
            user=scopes[ScopeKind.USER],
            org=scopes.get(ScopeKind.ORG),
            events=await self._log(principal, request_id),
            journal=await self._journal(principal, record.head.session.session_id),
        )

    def _scope(self, key: ScopeKey, record: StateRecord) -> ScopeAfter:
        return ScopeAfter(self._flow.schemas[key.kind].view(BaseModel, record.state), record.version)

    async def _journal(self, principal: Principal, session_id: str) -> list[JournalEntry]:
        entries: list[JournalEntry] = []
        token = ""
        while True:
            page = await self._engine.journals.list(principal, JournalQuery(session_id, page_token=token))
            entries += [JournalEntry.of(record) for record in page.entries]
            token = page.next_page_token
            if not token:
                return entries

    async def _log(self, principal: Principal, request_id: str) -> list[EventRecord]:
        events: list[EventRecord] = []
        async for frame in self._engine.events.follow(principal, TailCall(request_id, replay_only=True)):
            if isinstance(frame, TailBatch):
                events += frame.events
        return events


async def run_flow(
    flow: Flow,
    action: str,
    input: Any = NO_INPUT,
    *,
    session_id: str = "",
    user_id: str = "user",
    org_id: str = "",
    store: Store | None = None,
) -> FlowRun:
    """Run one action of ``flow`` in a new session in memory and tell what came of it.

    Without ``input`` it is ``{}``, as it is for clients.

    ::

        async def test_say():
            run = await run_flow(chat, "say", Say(message="plan it"))
            assert run.session.state.message_count == 1
    """
    async with FlowTester(flow, store) as tester:
        return await tester.run(action, input, session_id=session_id, user_id=user_id, org_id=org_id)
