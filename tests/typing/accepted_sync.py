"""What the type checker has to accept of the synchronous client. Checked, never run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

from pydantic import BaseModel

from flowstate_client import Event, Moment, Page, ResourceRecord, Session, Snapshot, StateRecord, StateWrite
from flowstate_client.sync import FlowStateClient, Pager, RunHandle, ScopeHandle


class Answer(BaseModel):
    text: str = ""
    count: int = 0


def reads_results(run: RunHandle, client: FlowStateClient) -> None:
    assert_type(run.result(int), int)
    assert_type(run.result(Answer | None, timeout=1.0), Answer | None)
    assert_type(run.result(), Any)
    assert_type(client.flows.call("chat", "say", output=list[Answer]), list[Answer])
    assert_type(client.flows.dispatch("chat", "say"), RunHandle)
    for event in run.events():
        assert_type(event, Event)
    for moment in client.flows.stream("chat", "say").with_view(Answer):
        assert_type(moment, Moment[Answer])


def reads_more(client: FlowStateClient) -> None:
    assert_type(client.sessions.list(), Pager[Session])
    assert_type(client.sessions.list().pages(), Iterator[Page[Session]])
    assert_type(client.sessions.list().first(), Session | None)
    assert_type(client.sessions.snapshot("s", model=Answer), Snapshot[Answer])
    for view in client.sessions.watch("s", model=Answer):
        assert_type(view, Snapshot[Answer])
    assert_type(client.resources.user("u").named("r", model=Answer).get(), ResourceRecord[Answer])


def writes_state(client: FlowStateClient) -> None:
    state = client.state.session("s", model=Answer)
    assert_type(state, ScopeHandle[Answer])
    assert_type(state.get(), StateRecord[Answer])
    assert_type(state.at(7).inc_state(count=1), StateWrite)
    assert_type(state.atomic_state(lambda now: {"count": now.count + 1}), StateWrite)
    with state.batch() as batch:
        batch.patch_state(text="a")
        assert_type(batch.result, StateWrite | None)
    with client.state.batch() as several:
        several.user("u", model=Answer).inc_state(count=1)


def uploads(client: FlowStateClient, pieces: Iterator[bytes]) -> None:
    picture = client.resources.session("s")["picture"]
    picture.upload(pieces, progress=lambda done, whole: None)
    with open("picture.png", "rb") as file:
        assert_type(picture.upload(file), StateWrite)
    with picture.read_pieces() as content:
        assert_type(next(content), bytes)
