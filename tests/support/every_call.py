"""Every served method that names a session or a request, called with ids of one's choice."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from flowstate.v1.event_service_pb2 import ListEventsRequest, TailEventsRequest
from flowstate.v1.events_pb2 import Item
from flowstate.v1.flow_service_pb2 import (
    ActionSpec,
    CallActionRequest,
    CancelActionRequestRequest,
    DispatchActionRequest,
    GetActionRequestRequest,
    ListActionRequestsRequest,
    StreamActionRequest,
    WaitActionRequestRequest,
)
from flowstate.v1.journal_service_pb2 import AppendJournalRequest, JournalEntry, ListJournalRequest
from flowstate.v1.session_service_pb2 import (
    AppendItemsRequest,
    DeleteSessionRequest,
    GetSessionRequest,
    GetSnapshotRequest,
    ListItemsRequest,
    RemoveItemsRequest,
    Session,
    UpdateSessionRequest,
    WatchSnapshotRequest,
)
from flowstate.v1.state_service_pb2 import GetStateRequest
from flowstate.v1.types_pb2 import ScopeRef, Value
from tests.support.raw_calls import Metadata, Stubs, increment, org
from tests.support.wire import read_all

NEW_ITEM = Item(kind="custom", content=Value(json="1"))

Calling = Callable[[Metadata], Coroutine[Any, Any, Any]]


def session_calls(stubs: Stubs, session_id: str, flow_kind: str = "") -> Mapping[str, Calling]:
    """Calls about a session, by method; ``flow_kind`` goes where a message has a place for it."""
    scope = ScopeRef(session_id=session_id, flow_kind=flow_kind)
    return {
        "SessionService/GetSession": lambda metadata: _answer(
            stubs.sessions.GetSession(GetSessionRequest(session_id=session_id), metadata=metadata)
        ),
        "SessionService/GetSnapshot": lambda metadata: _answer(
            stubs.sessions.GetSnapshot(GetSnapshotRequest(session_id=session_id), metadata=metadata)
        ),
        "SessionService/ListItems": lambda metadata: _answer(
            stubs.sessions.ListItems(ListItemsRequest(session_id=session_id), metadata=metadata)
        ),
        "FlowService/ListActionRequests": lambda metadata: _answer(
            stubs.flows.ListActionRequests(
                ListActionRequestsRequest(session_id=session_id), metadata=metadata
            )
        ),
        "EventService/ListEvents of a session": lambda metadata: _answer(
            stubs.events.ListEvents(ListEventsRequest(session_id=session_id), metadata=metadata)
        ),
        "EventService/TailEvents of a session": lambda metadata: read_all(
            stubs.events.TailEvents(
                TailEventsRequest(session_id=session_id, replay_only=True), metadata=metadata
            )
        ),
        "SessionService/AppendItems": lambda metadata: _answer(
            stubs.sessions.AppendItems(
                AppendItemsRequest(session_id=session_id, items=[NEW_ITEM]), metadata=metadata
            )
        ),
        "SessionService/RemoveItems": lambda metadata: _answer(
            stubs.sessions.RemoveItems(RemoveItemsRequest(session_id=session_id, newest=1), metadata=metadata)
        ),
        "SessionService/UpdateSession": lambda metadata: _answer(
            stubs.sessions.UpdateSession(
                UpdateSessionRequest(
                    session=Session(session_id=session_id, title="seen"),
                    update_mask=FieldMask(paths=["title"]),
                ),
                metadata=metadata,
            )
        ),
        "SessionService/DeleteSession": lambda metadata: _answer(
            stubs.sessions.DeleteSession(DeleteSessionRequest(session_id=session_id), metadata=metadata)
        ),
        "SessionService/WatchSnapshot": lambda metadata: _whole_view(
            stubs.sessions.WatchSnapshot(WatchSnapshotRequest(session_id=session_id), metadata=metadata)
        ),
        "StateService/GetState": lambda metadata: _answer(
            stubs.states.GetState(GetStateRequest(scopes=[scope]), metadata=metadata)
        ),
        "StateService/CommitState": lambda metadata: stubs.commit(increment(scope), metadata=metadata),
        "JournalService/AppendJournal": lambda metadata: _answer(
            stubs.journals.AppendJournal(
                AppendJournalRequest(session_id=session_id, entries=[JournalEntry(text="seen")]),
                metadata=metadata,
            )
        ),
        "JournalService/ListJournal": lambda metadata: _answer(
            stubs.journals.ListJournal(ListJournalRequest(session_id=session_id), metadata=metadata)
        ),
    }


def request_calls(stubs: Stubs, request_id: str) -> Mapping[str, Calling]:
    """Calls about a request, by method and what they do."""
    scope = ScopeRef(request_id=request_id)
    wait = WaitActionRequestRequest(request_id=request_id, timeout=Duration(nanos=1_000_000))
    return {
        "FlowService/GetActionRequest": lambda metadata: _answer(
            stubs.flows.GetActionRequest(GetActionRequestRequest(request_id=request_id), metadata=metadata)
        ),
        "FlowService/WaitActionRequest": lambda metadata: _answer(
            stubs.flows.WaitActionRequest(wait, metadata=metadata)
        ),
        "FlowService/CancelActionRequest": lambda metadata: _answer(
            stubs.flows.CancelActionRequest(
                CancelActionRequestRequest(request_id=request_id), metadata=metadata
            )
        ),
        "EventService/ListEvents": lambda metadata: _answer(
            stubs.events.ListEvents(ListEventsRequest(request_id=request_id), metadata=metadata)
        ),
        "EventService/TailEvents": lambda metadata: read_all(
            stubs.events.TailEvents(
                TailEventsRequest(request_id=request_id, replay_only=True), metadata=metadata
            )
        ),
        "StateService/GetState of a request": lambda metadata: _answer(
            stubs.states.GetState(GetStateRequest(scopes=[scope]), metadata=metadata)
        ),
        "StateService/CommitState of a request": lambda metadata: stubs.commit(
            increment(scope, field="steps"), metadata=metadata
        ),
        "StateService/CommitState on behalf of a request": lambda metadata: stubs.commit(
            increment(org("acme")), request_id=request_id, metadata=metadata
        ),
    }


def action_calls(stubs: Stubs, **spec: Any) -> Mapping[str, Calling]:
    """The three ways of calling an action; ``spec`` has fields of ``ActionSpec``."""
    made = ActionSpec(**{"flow_kind": "ledger", "action": "bump", "input": Value(json="{}"), **spec})
    return {
        "FlowService/DispatchAction": lambda metadata: _answer(
            stubs.flows.DispatchAction(DispatchActionRequest(spec=made), metadata=metadata)
        ),
        "FlowService/CallAction": lambda metadata: _answer(
            stubs.flows.CallAction(CallActionRequest(spec=made), metadata=metadata)
        ),
        "FlowService/StreamAction": lambda metadata: read_all(
            stubs.flows.StreamAction(StreamActionRequest(spec=made), metadata=metadata)
        ),
    }


async def _answer(call: Any) -> Any:
    return await call


async def _whole_view(call: Any) -> Any:
    frames = [await call.read(), await call.read()]
    call.cancel()
    return frames
