"""The client on the versions that it claims to work with, against a server that has its own."""

from __future__ import annotations

import datetime as dt
import importlib
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from flowstate_client import (
    ClientConfig,
    ConnectError,
    FlowNotFound,
    FlowStateClient,
    ItemDelta,
    NewItem,
    PermissionDenied,
    ResponseValidationError,
    Scope,
    SessionNotFound,
    ValidationFailed,
    VersionMismatch,
)
from flowstate_client.history import openai_chat_messages


class Say(BaseModel):
    message: str


class View(BaseModel):
    class Session(BaseModel):
        message_count: int = 0
        label: str = ""

    session: Session = Session()


@pytest.fixture
def session_id() -> str:
    return f"s-{uuid4().hex}"


async def test_the_environments_differ(client: FlowStateClient) -> None:
    info = await client.server.info()
    assert info.version
    with pytest.raises(ModuleNotFoundError):
        __import__("aiosqlite")


async def test_an_action_is_called(client: FlowStateClient, session_id: str) -> None:
    answer = await client.flows.call(
        "chat", "say", Say(message="Plan a trip"), session_id=session_id, output=str
    )
    assert answer.startswith("Good, let us plan the trip")
    with pytest.raises(ResponseValidationError):
        await client.flows.call("chat", "say", Say(message="hi"), session_id=session_id, output=int)


async def test_a_run_is_followed(client: FlowStateClient, session_id: str) -> None:
    run = await client.flows.dispatch("chat", "say", {"message": "hi"}, session_id=session_id)
    moments = [moment async for moment in run.events().with_view(View)]
    assert [moments[0][0].type, moments[-1][0].type] == ["request.created", "request.completed"]
    text = "".join(event.text for event, _ in moments if isinstance(event, ItemDelta))
    assert await run.result(str) == text
    assert moments[-1][1].client_data.session.message_count == 1
    async with client.flows.stream("chat", "say", Say(message="hi"), session_id=session_id) as stream:
        assert [event.type async for event in stream][-1] == "request.completed"
    assert (await stream.run.get()).status.value == "completed"


async def test_a_session_is_read_and_written(client: FlowStateClient, session_id: str) -> None:
    session = await client.sessions.create("chat", session_id=session_id, title="A talk", metadata={"n": 1})
    assert (await client.sessions.get(session_id)).title == session.title
    async with client.sessions.watch(session_id, model=View) as views:
        assert (await anext(views)).client_data.session.message_count == 0
        await client.flows.call("chat", "say", {"message": "hi"}, session_id=session_id)
        async for view in views:
            if view.client_data.session.message_count == 1:
                break
    await client.sessions.append_items(session_id, [NewItem.message("user", "and?")])
    items = [item async for item in client.sessions.items(session_id, page_size=1)]
    assert [message["role"] for message in openai_chat_messages(items)] == ["user", "assistant", "user"]
    listed = [one.id async for one in client.sessions.list(user_id="ada", page_size=2)]
    assert session_id in listed
    await client.journal.append(session_id, "paid", source="billing", data={"amount": 3})
    assert [entry.data async for entry in client.journal.list(session_id)] == [{"amount": 3}]
    await client.sessions.delete(session_id)
    with pytest.raises(SessionNotFound):
        await client.sessions.snapshot(session_id)


async def test_state_is_written_by_operations(client: FlowStateClient, session_id: str) -> None:
    await client.sessions.create("chat", session_id=session_id)
    state = client.state.session(session_id)
    assert (await state.inc_state(message_count=2)).version == 1
    await state.push_state("topics", "tea")
    async with state.batch() as batch:
        batch.inc_state(message_count=1)
        batch.push_state("topics", "cake")
    await state.atomic_state(lambda held: {"message_count": held["message_count"] * 2})
    record = await state.get()
    assert record.state["message_count"] == 6
    assert record.state["topics"] == ["tea", "cake"]
    with pytest.raises(VersionMismatch) as caught:
        await state.at(1).patch_state(message_count=0)
    assert caught.value.reason == "VERSION_MISMATCH"


async def test_a_resource_has_a_content(client: FlowStateClient, session_id: str) -> None:
    await client.flows.call("odd-flow 1", "snapshot", "A title", session_id=session_id)
    page = client.resources.session(session_id)["front page"]
    content = bytes(range(256)) * 1000
    await page.upload(content, media_type="application/octet-stream")
    assert await page.read() == content


async def test_errors_have_their_reasons(client: FlowStateClient, address: str) -> None:
    with pytest.raises(FlowNotFound) as flow:
        await client.flows.call("chatt", "say", {})
    assert (flow.value.reason, bool(flow.value.correlation_id)) == ("FLOW_NOT_FOUND", True)
    with pytest.raises(ValidationFailed) as failed:
        await client.flows.call("chat", "say", {"message": 1})
    assert failed.value.field_violations
    with pytest.raises(ValueError, match="message"):
        await client.flows.call("chat", "say", {"message": float("nan")})
    async with FlowStateClient.connect(address, user="ada") as less:
        with pytest.raises(PermissionDenied):
            await less.state.user("ada").get()
    config = ClientConfig(timeout=0.3, connect_timeout=0.2)
    async with FlowStateClient.connect("127.0.0.1:1", user="ada", config=config) as nobody:
        with pytest.raises(ConnectError):
            await nobody.flows.call("chat", "say", {"message": "hi"})


async def test_a_stub_is_used(
    client: FlowStateClient,
    session_id: str,
    stub_source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "served_stub.py").write_text(stub_source, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    stub: Any = importlib.import_module("served_stub")
    odd = stub.OddFlow1Flow(client)
    at = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    tree = stub.Node(name="root", children=[stub.Node(name="leaf")])
    back = await odd.echo(stub.Every(text="t", class_="c", at=at, tree=tree), session_id=session_id)
    assert (back.class_, back.at, back.tree, back.day) == ("c", at, tree, dt.date(2026, 1, 2))
    assert isinstance(back.key, UUID)
    seen = await odd.snapshot(session_id, names={Scope.SESSION: ["tree", "shout"]})
    assert (seen.client_data.session.tree, seen.client_data.session.shout) == (tree, "LOUD")
