"""Sessions and snapshots."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from flowstate.v1 import session_service_pb2, types_pb2
from flowstate_client import (
    Cursor,
    FlowStateClient,
    Page,
    ResponseValidationError,
    Scope,
    Session,
    SessionNotFound,
)
from tests.client.fake_tails import json_value
from tests.client.fakes import FakeServer


class Shown(BaseModel):
    message_count: int = 0
    label: str = ""


class ChatView(BaseModel):
    session: Shown
    user: dict[str, int]
    org: None = None


async def test_create_and_get(server: FakeServer, client: FlowStateClient) -> None:
    created = await client.sessions.create(
        "chat", org_id="o1", session_id="a/b", title="T", tags=["x"], metadata={"ticker": "X", "n": 1}
    )
    assert (created.id, created.user_id, created.org_id, created.tags) == ("a/b", "u1", "o1", ("x",))
    assert created.metadata == {"ticker": "X", "n": 1}
    assert created.version == 1
    assert await client.sessions.get("a/b") == created
    with pytest.raises(SessionNotFound):
        await client.sessions.get("nowhere")
    with pytest.raises(ValueError, match="/f"):
        await client.sessions.create("chat", metadata={"f": object()})


async def test_a_key_of_its_own_gives_the_session_of_the_first_time(
    server: FakeServer, client: FlowStateClient
) -> None:
    first = await client.sessions.create("chat", idempotency_key="job-1")
    assert await client.sessions.create("chat", idempotency_key="job-1") == first
    assert (await client.sessions.create("chat")).id != first.id


async def test_list(server: FakeServer, client: FlowStateClient) -> None:
    for _ in range(5):
        await client.sessions.create("chat")
    sessions = client.sessions.list(user_id="u1", metadata={"ticker": "X"}, include_total=True, page_size=2)
    assert [session.id async for session in sessions] == [f"sess_{n}" for n in range(1, 6)]
    request = server.sessions.seen[-1]
    assert (request.user_id, request.page_token) == ("u1", "4")
    assert request.metadata["ticker"].json == '"X"'
    pages: list[Page[Session]] = [page async for page in sessions.pages()]
    assert [page.total_size for page in pages] == [5, 5, 5]
    assert [page.next_page_token for page in pages] == ["2", "4", ""]


async def test_snapshot(server: FakeServer, client: FlowStateClient) -> None:
    session = session_service_pb2.ScopeProjection(scope=types_pb2.SCOPE_KIND_SESSION, version=7)
    session.values["message_count"].CopyFrom(json_value(3))
    session.values["label"].CopyFrom(json_value('Ch"at'))
    session.failures["broken"].CopyFrom(types_pb2.Failure(reason="INTERNAL"))
    user = session_service_pb2.ScopeProjection(scope=types_pb2.SCOPE_KIND_USER)
    user.values['odd "name"'].CopyFrom(json_value(2**60))
    server.sessions.snapshot = session_service_pb2.GetSnapshotResponse(
        session_id="s",
        scopes=[session, user],
        cursor=types_pb2.Cursor(log_id="l", sequence=9),
        active_requests=[
            session_service_pb2.ActiveRequest(request_id="req_1", cursor=types_pb2.Cursor(sequence=4))
        ],
    )
    view = await client.sessions.snapshot(
        "s", model=ChatView, names={Scope.SESSION: ["label"], Scope.USER: []}
    )
    assert view.client_data.session == Shown(message_count=3, label='Ch"at')
    assert view.client_data.user == {'odd "name"': 2**60}
    assert view.versions == {Scope.SESSION: 7, Scope.USER: 0}
    assert view.failures[Scope.SESSION]["broken"].reason == "INTERNAL"
    assert (view.cursor, view.active_requests) == (Cursor("l", 9), {"req_1": Cursor("", 4)})
    selectors = server.sessions.seen[-1].selectors
    assert [(s.scope, list(s.names)) for s in selectors] == [
        (types_pb2.SCOPE_KIND_SESSION, ["label"]),
        (types_pb2.SCOPE_KIND_USER, []),
    ]
    plain = await client.sessions.snapshot("s")
    assert plain.client_data["session"]["message_count"] == 3
    with pytest.raises(ResponseValidationError):
        await client.sessions.snapshot("s", model=int)
