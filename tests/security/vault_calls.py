"""Calls about all that is in the vault: what fills it, and whatever a client may ask of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from flowstate.v1 import (
    event_service_pb2 as events,
    flow_service_pb2 as flows,
    resource_service_pb2 as resources,
    server_service_pb2 as servers,
    session_service_pb2 as sessions,
)
from flowstate.v1.types_pb2 import Cursor, Precondition, ScopeRef, Value
from tests.security.vault import Vault
from tests.support.raw_answers import Metadata

OWNER: Metadata = (("x-tenant-id", "a"), ("x-flowstate-user", "u1"), ("x-flowstate-org", "o1"))


Call = tuple[str, Message]


def action_spec(action: str, **fields: object) -> flows.ActionSpec:
    made = flows.ActionSpec(
        **{  # type: ignore[arg-type]
            "flow_kind": "vault",
            "action": action,
            "session_id": "s1",
            "user_id": "u1",
            "org_id": "o1",
            "request_id": f"r-{action}",
            **fields,
        }
    )
    made.input.json = "{}"
    return made


def papers(vault: Vault) -> Iterator[resources.PutResourceRequest]:
    canary, private = vault.canaries, vault.private
    for scope in (ScopeRef(session_id="s1"), ScopeRef(user_id="u1", flow_kind="vault")):
        kind = scope.WhichOneof("owner")
        for name, shown in (
            ("paper", private),
            ("plan", canary),
            (f"notes/{canary(f'{kind} note name')}", canary),
        ):
            what = f"{kind} {name.partition('/')[0]}"
            state = {"shown": shown(f"{what} shown"), "hidden": canary(f"{what} hidden")}
            resource = resources.Resource(
                scope=scope,
                name=name,
                state=Value(json=json.dumps(state)),
                content=shown(f"{what} content").encode(),
                media_type=shown(f"{what} type"),
            )
            yield resources.PutResourceRequest(resource=resource)


def _resource_calls() -> Iterator[Call]:
    for scope in (ScopeRef(session_id="s1"), ScopeRef(user_id="u1", flow_kind="vault")):
        for name in ("paper", "plan", "notes/none", "none"):
            for view in range(3):
                get = resources.GetResourceRequest(scope=scope, name=name, view=view)  # type: ignore[arg-type]
                yield "ResourceService/GetResource", get
            yield "ResourceService/ReadContent", resources.ReadContentRequest(scope=scope, name=name)
            beyond = resources.ReadContentRequest(scope=scope, name=name, position=1_000, if_sha256="0")
            yield "ResourceService/ReadContent", beyond
        for size in (0, 1):
            listed = resources.ListResourcesRequest(scope=scope, page_size=size)
            yield "ResourceService/ListResources", listed
        inside = resources.ListResourcesRequest(scope=scope, name_prefix="notes/")
        yield "ResourceService/ListResources", inside


def client_calls(request_ids: Iterable[str], actions: Iterable[str]) -> list[Call]:
    """Every method that a client may call, on everything that there is."""
    calls: list[Call] = [
        ("FlowService/ListFlows", flows.ListFlowsRequest()),
        ("FlowService/GetFlow", flows.GetFlowRequest(flow_kind="vault")),
        ("SessionService/CreateSession", sessions.CreateSessionRequest(session=_session("s1"))),
        ("SessionService/CreateSession", sessions.CreateSessionRequest(session=_session(""))),
        ("SessionService/ResolveSession", sessions.ResolveSessionRequest(session=_session(""))),
        ("SessionService/ResolveSession", sessions.ResolveSessionRequest(session=_session("s1"))),
        ("SessionService/UpdateSession", _update("title")),
        ("SessionService/UpdateSession", _update("metadata", precondition=Precondition(version=99))),
        ("SessionService/UpdateSession", _update("state")),
        ("SessionService/GetSession", sessions.GetSessionRequest(session_id="s1")),
        ("SessionService/ListSessions", sessions.ListSessionsRequest(include_ephemeral=True)),
        ("SessionService/ListSessions", sessions.ListSessionsRequest(flow_kind="vault", user_id="u1")),
        (
            "SessionService/ListSessions",
            sessions.ListSessionsRequest(tags=["a"], metadata={"b": Value(json="1")}, include_total=True),
        ),
        ("SessionService/GetSnapshot", sessions.GetSnapshotRequest(session_id="s1")),
        ("SessionService/WatchSnapshot", sessions.WatchSnapshotRequest(session_id="s1")),
        ("ServerService/GetServerInfo", servers.GetServerInfoRequest()),
        *_calls_of_session("s1"),
        *_resource_calls(),
        # Of the session that the others are about only what is refused.
        (
            "SessionService/DeleteSession",
            sessions.DeleteSessionRequest(session_id="s1", precondition=Precondition(version=2**40)),
        ),
        ("SessionService/DeleteSession", sessions.DeleteSessionRequest(session_id="no", allow_missing=True)),
    ]
    for scope in range(5):
        selectors = [sessions.SnapshotSelector(scope=scope)]  # type: ignore[arg-type]
        snapshot = sessions.GetSnapshotRequest(session_id="s1", selectors=selectors)
        watch = sessions.WatchSnapshotRequest(session_id="s1", selectors=selectors)
        calls += [("SessionService/GetSnapshot", snapshot), ("SessionService/WatchSnapshot", watch)]
    for action in actions:
        spec = action_spec(action)
        calls += [
            ("FlowService/DispatchAction", flows.DispatchActionRequest(spec=spec)),
            ("FlowService/CallAction", flows.CallActionRequest(spec=spec)),
            ("FlowService/StreamAction", flows.StreamActionRequest(spec=spec)),
        ]
    for request_id in request_ids:
        calls += _calls_of_request(request_id)
    return calls


def _update(path: str, **fields: Any) -> sessions.UpdateSessionRequest:
    return sessions.UpdateSessionRequest(session=_session("s1"), update_mask={"paths": [path]}, **fields)  # type: ignore[arg-type]


def _session(session_id: str) -> sessions.Session:
    return sessions.Session(flow_kind="vault", session_id=session_id, user_id="u1")


def _calls_of_session(session_id: str) -> list[Call]:
    """Its conversation, from either end, and whatever a filter could bring to light."""
    tail, page, items = events.TailEventsRequest, events.ListEventsRequest, sessions.ListItemsRequest
    lists = flows.ListActionRequestsRequest
    narrow = events.EventFilter(types=["state_change", "custom", "block.failed"])
    calls: list[Call] = [
        ("FlowService/ListActionRequests", lists(with_payloads=True, page_size=500)),
        ("FlowService/ListActionRequests", lists(session_id=session_id, with_payloads=True)),
        ("FlowService/ListActionRequests", lists(flow_kind="vault", action="fill", with_payloads=True)),
        ("SessionService/ListItems", items(session_id=session_id, page_size=500)),
        ("SessionService/ListItems", items(session_id=session_id, newest_first=True, page_size=3)),
        ("SessionService/ListItems", items(session_id=session_id, last_turns=9)),
        ("SessionService/ListItems", items(session_id=session_id, request_id="r-fill")),
        ("EventService/ListEvents", page(session_id=session_id, page_size=500)),
        ("EventService/ListEvents", page(session_id=session_id, after_sequence=9, filter=narrow)),
        ("EventService/TailEvents", tail(session_id=session_id, replay_only=True)),
        ("EventService/TailEvents", tail(session_id=session_id, replay_only=True, filter=narrow)),
    ]
    for audience in range(5):
        filter = events.EventFilter(audience=audience)  # type: ignore[arg-type]
        calls += [
            ("SessionService/ListItems", items(session_id=session_id, audience=audience)),  # type: ignore[arg-type]
            ("EventService/ListEvents", page(session_id=session_id, filter=filter)),
            ("EventService/TailEvents", tail(session_id=session_id, replay_only=True, filter=filter)),
        ]
    return calls


def _calls_of_request(request_id: str) -> list[Call]:
    tail, page = events.TailEventsRequest, events.ListEventsRequest
    return [
        ("FlowService/GetActionRequest", flows.GetActionRequestRequest(request_id=request_id)),
        ("FlowService/WaitActionRequest", flows.WaitActionRequestRequest(request_id=request_id)),
        ("FlowService/CancelActionRequest", flows.CancelActionRequestRequest(request_id=request_id)),
        ("EventService/ListEvents", page(request_id=request_id, page_size=500)),
        ("EventService/ListEvents", page(request_id=request_id, page_size=1, after_sequence=5)),
        ("EventService/ListEvents", page(request_id=request_id, after_sequence=2**40)),
        ("EventService/TailEvents", tail(request_id=request_id)),
        ("EventService/TailEvents", tail(request_id=request_id, after=Cursor(sequence=3))),
        ("EventService/TailEvents", tail(request_id=request_id, after=Cursor(log_id="x"))),
        ("EventService/TailEvents", tail(request_id=request_id, latest=True)),
        ("EventService/TailEvents", tail(request_id=request_id, replay_only=True)),
    ]
