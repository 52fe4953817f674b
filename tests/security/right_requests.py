"""A flow, and a request of every served method that is right for it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, get_args

from google.protobuf.message import Message
from pydantic import BaseModel

from flowstate.v1 import (
    event_service_pb2 as events,
    flow_service_pb2 as flows,
    journal_service_pb2 as journals,
    resource_service_pb2 as resources,
    server_service_pb2 as servers,
    session_service_pb2 as sessions,
    state_service_pb2 as states,
)
from flowstate.v1.types_pb2 import AUDIENCE_CLIENT, Precondition, ScopeRef, Value
from flowstate_server.flows import (
    ClientView,
    Context,
    Org,
    Request,
    ResourceView,
    Session,
    User,
    action,
    define_flow,
    handler,
    resource,
)
from flowstate_server.flows.resources import ResourceScope
from tests.support.wire import CANARY


class Chat(BaseModel):
    count: int = 0
    by_id: dict[str, int] = {}
    log: list[str] = []
    secret: str = CANARY


class Paper(BaseModel):
    count: int
    secret: str


class Input(BaseModel):
    count: int = 0


def chat_flow() -> Any:
    @handler
    async def go(value: Input, ctx: Context) -> int:
        await ctx.session.patch_state(secret=CANARY)
        return value.count

    view = ClientView(expose=["count"])
    shown = ResourceView(expose=["count"], content=True, live=True)
    return define_flow(
        kind="chat",
        actions={"go": action(block=go)},
        session=Session(state=Chat, client=view),
        user=User(state=Chat, client=view),
        org=Org(state=Chat, client=view),
        request=Request(state=Chat),
        resources=[
            resource("paper", state=Paper, scope=scope, client=shown) for scope in get_args(ResourceScope)
        ],
    )


def action_spec(**fields: Any) -> flows.ActionSpec:
    made = flows.ActionSpec(
        **{"flow_kind": "chat", "action": "go", "session_id": "s1", "user_id": "u1", "org_id": "o1", **fields}
    )
    made.input.json = '{"count": 1}'
    made.execution_timeout.seconds = 5
    return made


def _operations() -> list[states.StateOp]:
    value = {"json": b"1"}
    return [
        states.StateOp(path="/count", set=value),  # type: ignore[arg-type]
        states.StateOp(merge={"value": {"json": b'{"count": 2}'}}),  # type: ignore[arg-type]
        states.StateOp(path="/count", increment={"by_int": 1}),  # type: ignore[arg-type]
        states.StateOp(path="/count", increment={"by_double": 1.0}),  # type: ignore[arg-type]
        states.StateOp(path="/log", append={"items": [{"json": b'"x"'}]}),  # type: ignore[arg-type]
        states.StateOp(path="/by_id/k", remove={"must_exist": False}),  # type: ignore[arg-type]
        states.StateOp(path="/by_id", put_record={"key": "k", "value": value}),  # type: ignore[arg-type]
        states.StateOp(path="/by_id", delete_record={"key": "k"}),  # type: ignore[arg-type]
    ]


def _mutation(**scope: str) -> states.StateMutation:
    return states.StateMutation(
        scope={"flow_kind": "chat", **scope},  # type: ignore[arg-type]
        precondition={"version": 1},  # type: ignore[arg-type]
        ops=_operations(),
    )


def _session(session_id: str = "s2") -> sessions.Session:
    return sessions.Session(
        flow_kind="chat",
        session_id=session_id,
        user_id="u1",
        org_id="o1",
        title="t",
        description="d",
        tags=["a"],
        metadata={"json": b'{"k": 1}'},  # type: ignore[arg-type]
    )


def _filter() -> events.EventFilter:
    return events.EventFilter(types=["request.completed"], audience=AUDIENCE_CLIENT)


_PAPERS = ScopeRef(session_id="s1", flow_kind="chat")

RIGHT: Mapping[str, Message] = {
    "FlowService/ListFlows": flows.ListFlowsRequest(page_size=1),
    "FlowService/GetFlow": flows.GetFlowRequest(flow_kind="chat"),
    "FlowService/DispatchAction": flows.DispatchActionRequest(spec=action_spec()),
    "FlowService/CallAction": flows.CallActionRequest(spec=action_spec()),
    "FlowService/StreamAction": flows.StreamActionRequest(
        spec=action_spec(),
        filter=_filter(),
        heartbeat_interval={"seconds": 5},  # type: ignore[arg-type]
    ),
    "FlowService/GetActionRequest": flows.GetActionRequestRequest(request_id="r1"),
    "FlowService/WaitActionRequest": flows.WaitActionRequestRequest(request_id="r1", timeout={}),  # type: ignore[arg-type]
    "FlowService/CancelActionRequest": flows.CancelActionRequestRequest(request_id="r1", reason="enough"),
    "FlowService/ListActionRequests": flows.ListActionRequestsRequest(
        session_id="s1",
        flow_kind="chat",
        action="go",
        user_id="u1",
        org_id="o1",
        statuses=[flows.ACTION_REQUEST_STATUS_COMPLETED],
        page_size=5,
        with_payloads=True,
    ),
    "EventService/ListEvents": events.ListEventsRequest(
        session_id="s1", after_sequence=1, page_size=5, filter=_filter()
    ),
    "EventService/TailEvents": events.TailEventsRequest(
        request_id="r1",
        filter=_filter(),
        after={"sequence": 1},  # type: ignore[arg-type]
        heartbeat_interval={"seconds": 5},  # type: ignore[arg-type]
    ),
    "SessionService/CreateSession": sessions.CreateSessionRequest(session=_session(), idempotency_key="k"),
    "SessionService/ResolveSession": sessions.ResolveSessionRequest(session=_session("")),
    "SessionService/GetSession": sessions.GetSessionRequest(session_id="s1"),
    "SessionService/DeleteSession": sessions.DeleteSessionRequest(
        session_id="s1", precondition=Precondition(version=1), allow_missing=True
    ),
    "SessionService/ListSessions": sessions.ListSessionsRequest(
        flow_kind="chat",
        user_id="u1",
        org_id="o1",
        metadata={"a": Value(json="1")},
        tags=["t"],
        active_after={"seconds": 1},  # type: ignore[arg-type]
        page_size=5,
        include_ephemeral=True,
    ),
    "SessionService/UpdateSession": sessions.UpdateSessionRequest(
        session=_session("s1"),
        update_mask={"paths": ["title", "description", "tags", "metadata"]},  # type: ignore[arg-type]
        precondition=Precondition(version=1),
        idempotency_key="k",
    ),
    "SessionService/ListItems": sessions.ListItemsRequest(
        session_id="s1", audience=AUDIENCE_CLIENT, last_turns=2, newest_first=True, page_size=5
    ),
    "SessionService/AppendItems": sessions.AppendItemsRequest(
        session_id="s1",
        items=[
            {"kind": "message", "role": "user", "content": {"json": '{"parts": []}'}},  # type: ignore[list-item]
            {"kind": "custom", "name": "n", "content": {"json": "1"}, "audiences": [AUDIENCE_CLIENT]},  # type: ignore[list-item]
        ],
        idempotency_key="k",
    ),
    "SessionService/RemoveItems": sessions.RemoveItemsRequest(session_id="s1", newest=1, idempotency_key="k"),
    "SessionService/GetSnapshot": sessions.GetSnapshotRequest(
        session_id="s1",
        selectors=[sessions.SnapshotSelector(scope=2, names=["count"])],  # type: ignore[arg-type]
    ),
    "SessionService/WatchSnapshot": sessions.WatchSnapshotRequest(
        session_id="s1",
        selectors=[sessions.SnapshotSelector(scope=2, names=["count"])],  # type: ignore[arg-type]
        heartbeat_interval={"seconds": 5},  # type: ignore[arg-type]
    ),
    "StateService/GetState": states.GetStateRequest(
        scopes=[
            ScopeRef(session_id="s1", flow_kind="chat"),
            ScopeRef(user_id="u1", flow_kind="chat"),
            ScopeRef(org_id="o1", flow_kind="chat"),
            ScopeRef(request_id="r1", flow_kind="chat"),
        ],
        paths=["/count", "/by_id/a"],
    ),
    "StateService/CommitState": states.CommitStateRequest(
        mutations=[_mutation(session_id="s1"), _mutation(user_id="u1"), _mutation(org_id="o1")],
        idempotency_key="k",
    ),
    "StateService/DeleteState": states.DeleteStateRequest(
        scope=ScopeRef(user_id="u1", flow_kind="chat"),
        precondition={"version": 3, "incarnation": "i"},  # type: ignore[arg-type]
        allow_missing=True,
        idempotency_key="k",
    ),
    "ResourceService/GetResource": resources.GetResourceRequest(scope=_PAPERS, name="paper"),
    "ResourceService/ListResources": resources.ListResourcesRequest(
        scope=_PAPERS, name_prefix="pa", page_size=5
    ),
    "ResourceService/PutResource": resources.PutResourceRequest(
        resource=resources.Resource(
            scope=_PAPERS,
            name="paper",
            state=Value(json='{"count": 1}'),
            content=b"text",
            media_type="text/plain",
        ),
        precondition=Precondition(exists=True),
        update_mask={"paths": ["state", "content", "media_type"]},  # type: ignore[arg-type]
        idempotency_key="k",
    ),
    "ResourceService/WriteContent": resources.WriteContentRequest(
        scope=_PAPERS,
        name="paper",
        upload_id="u",
        data=b"text",
        finish=True,
        content_sha256=sha256(b"text").hexdigest(),
        media_type="text/plain",
        precondition=Precondition(exists=True),
    ),
    "ResourceService/ReadContent": resources.ReadContentRequest(scope=_PAPERS, name="paper"),
    "ResourceService/DeleteResource": resources.DeleteResourceRequest(
        scope=_PAPERS, name="paper", precondition=Precondition(exists=True), allow_missing=True
    ),
    "JournalService/AppendJournal": journals.AppendJournalRequest(
        session_id="s1",
        entries=[
            journals.JournalEntry(text="one", source="s", tags=["a"], data={"json": '{"k": 1}'}),  # type: ignore[arg-type]
            journals.JournalEntry(text="two", request_id="r1"),
        ],
        idempotency_key="k",
    ),
    "JournalService/ListJournal": journals.ListJournalRequest(
        session_id="s1", newest_first=True, page_size=5
    ),
    "ServerService/GetServerInfo": servers.GetServerInfoRequest(),
}
"""A request of every served method, most of which are answered with OK."""
