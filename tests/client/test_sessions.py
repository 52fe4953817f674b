"""Sessions and snapshots."""

from __future__ import annotations

from datetime import UTC, datetime

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
    VersionMismatch,
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


async def test_list_by_activity(server: FakeServer, client: FlowStateClient) -> None:
    at = datetime(2026, 11, 29, 1, 2, 3, 4567, UTC)
    await client.sessions.list(active_after=at, tags=["a"], org_id="o").first()
    request = server.sessions.seen[-1]
    assert request.active_after.ToDatetime(UTC) == at
    assert (list(request.tags), request.org_id) == (["a"], "o")
    with pytest.raises(ValueError, match="time zone"):
        client.sessions.list(active_after=datetime(2026, 11, 29))  # noqa: DTZ001
    await client.sessions.list().first()
    assert not server.sessions.seen[-1].HasField("active_after")


async def test_update_names_what_is_given(server: FakeServer, client: FlowStateClient) -> None:
    await client.sessions.create("chat", session_id="s", title="T", tags=["x"], metadata={"n": 1})
    updated = await client.sessions.update("s", title="New", tags=[])
    assert (updated.title, updated.tags, updated.metadata, updated.version) == ("New", (), {"n": 1}, 2)
    assert list(server.sessions.seen[-1].update_mask.paths) == ["title", "tags"]
    updated = await client.sessions.update("s", description="D", metadata={"n": 2**53 + 1, "x": 1.0}, at=2)
    assert (updated.description, updated.metadata, updated.version) == ("D", {"n": 2**53 + 1, "x": 1.0}, 3)
    assert (await client.sessions.update("s", title="", metadata={})).metadata == {}
    with pytest.raises(VersionMismatch) as caught:
        await client.sessions.update("s", title="late", at=2)
    assert caught.value.metadata["current"] == "4"
    with pytest.raises(ValueError, match="no field"):
        await client.sessions.update("s", at=2)
    with pytest.raises(ValueError, match="/f"):
        await client.sessions.update("s", metadata={"f": object()})


async def test_an_update_with_a_key_of_its_own_is_done_once(
    server: FakeServer, client: FlowStateClient
) -> None:
    await client.sessions.create("chat", session_id="s")
    first = await client.sessions.update("s", title="one", idempotency_key="job-1")
    await client.sessions.update("s", title="two")
    again = await client.sessions.update("s", title="one", idempotency_key="job-1")
    assert (first.version, again.title, again.version) == (2, "two", 3)


async def test_resolve(server: FakeServer, client: FlowStateClient) -> None:
    made = await client.sessions.resolve("chat", metadata={"ticker": "X"}, org_id="o1", title="T", tags=["a"])
    assert made.created
    assert isinstance(made, Session)
    assert (made.user_id, made.org_id, made.title, made.metadata) == ("u1", "o1", "T", {"ticker": "X"})
    found = await client.sessions.resolve("chat", metadata={"ticker": "X"}, title="other")
    assert (found.id, found.title, found.created) == (made.id, "T", False)
    assert (await client.sessions.resolve("chat", metadata={"ticker": "Y"}, user_id="u2")).user_id == "u2"
    with pytest.raises(ValueError, match="/f"):
        await client.sessions.resolve("chat", metadata={"f": object()})


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
    assert list(view.client_data.model_dump()) == ["session", "user", "org"]
    plain = await client.sessions.snapshot("s")
    assert list(plain.client_data["session"]) == ["label", "message_count"], "by name, each time"
    assert plain.client_data["session"]["message_count"] == 3
    with pytest.raises(ResponseValidationError):
        await client.sessions.snapshot("s", model=int)
