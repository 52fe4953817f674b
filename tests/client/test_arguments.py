"""What callers get wrong is refused by its name, before anything is sent."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from flowstate_client import Cursor, FlowStateClient, JournalNote, NewItem, RequestStatus, Scope
from flowstate_client.codec import JsonCodec
from flowstate_client.filters import EVENT_TYPES, event_filter, status_numbers
from flowstate_server.flows import Audience
from flowstate_server.model.events import EventType
from tests.client.fakes import FakeServer

Call = Callable[[Any], Any]


async def _texts() -> AsyncIterator[str]:
    yield "text"


MISTAKES: dict[str, tuple[Call, str]] = {
    "create tag": (
        lambda c: c.sessions.create("f", tags="urgent"),
        "tags takes a list of texts, not one text",
    ),
    "create tags": (lambda c: c.sessions.create("f", tags=[1]), "tags[0] must be text, not int"),
    "create no tags": (lambda c: c.sessions.create("f", tags=1), "tags takes a list of texts, not int"),
    "create metadata": (
        lambda c: c.sessions.create("f", metadata=[1]),
        "metadata takes a mapping, such as a dict, not list",
    ),
    "create title": (lambda c: c.sessions.create("f", title=1), "title must be text, not int"),
    "create user": (lambda c: c.sessions.create("f", user_id=1), "user_id must be text, not int"),
    "resolve tag": (lambda c: c.sessions.resolve("f", metadata={}, tags="ab"), "tags takes a list of texts"),
    "resolve metadata": (lambda c: c.sessions.resolve("f", metadata="ab"), "metadata takes a mapping"),
    "update tag": (lambda c: c.sessions.update("s", tags="ab"), "tags takes a list of texts, not one text"),
    "update metadata": (lambda c: c.sessions.update("s", metadata=["a"]), "metadata takes a mapping"),
    "update at": (lambda c: c.sessions.update("s", title="t", at="7"), "at takes a version or what was read"),
    "list tag": (lambda c: c.sessions.list(tags="urgent"), "tags takes a list of texts, not one text"),
    "list metadata": (lambda c: c.sessions.list(metadata={1: 2}), "a key of metadata must be text, not int"),
    "get": (lambda c: c.sessions.get(5), "session_id must be text, not int"),
    "append text": (
        lambda c: c.sessions.append_items("s", "hello"),
        "items takes a list of NewItem, not one text",
    ),
    "append texts": (lambda c: c.sessions.append_items("s", ["hi"]), "items[0] must be a NewItem, not str"),
    "append item": (
        lambda c: c.sessions.append_items("s", NewItem.message("user", "hi")),
        "items takes a list of NewItem, not NewItem",
    ),
    "append dict": (
        lambda c: c.sessions.append_items("s", {"kind": "m"}),
        "items takes a list of NewItem, not dict",
    ),
    "item audience": (
        lambda c: c.sessions.append_items("s", [NewItem("custom", 1, audiences="client")]),
        "audiences takes a list of texts, not one text",
    ),
    "remove": (lambda c: c.sessions.remove_items("s", [1]), "ids[0] must be text, not int"),
    "snapshot": (
        lambda c: c.sessions.snapshot("s", names={Scope.SESSION: "title"}),
        "names['session'] takes a list of texts, not one text",
    ),
    "snapshot names": (lambda c: c.sessions.snapshot("s", names=["title"]), "names takes a mapping"),
    "watch names": (
        lambda c: c.sessions.watch("s", names={Scope.USER: [1]}),
        "names['user'][0] must be text",
    ),
    "events": (lambda c: c.sessions.events("s", types=[1]), "types[0] must be text, not int"),
    "run events": (lambda c: c.flows.handle("r").events(types=1), "types takes a list of texts, not int"),
    "requests": (lambda c: c.flows.requests(statuses=[1]), "statuses[0] must be text, not int"),
    "requests user": (lambda c: c.flows.requests(user_id=5), "user_id must be text, not int"),
    "dispatch": (lambda c: c.flows.dispatch("f", None), "action must be text, not NoneType"),
    "handle": (lambda c: c.flows.handle(5), "request_id must be text, not int"),
    "note tag": (
        lambda c: c.journal.append("s", "n", tags="urgent"),
        "tags takes a list of texts, not one text",
    ),
    "note": (lambda c: c.journal.append("s", 5), "text must be text, not int"),
    "notes": (lambda c: c.journal.append_all("s", ["n"]), "notes[0] must be a JournalNote, not str"),
    "noted": (
        lambda c: c.journal.append_all("s", [JournalNote("n", tags="ab")]),
        "tags takes a list of texts",
    ),
    "state user": (lambda c: c.state.user(5), "user_id must be text, not int"),
    "state batch": (lambda c: c.state.batch().session(None), "session_id must be text, not NoneType"),
    "state at": (lambda c: c.state.user("u").at("7"), "at takes a version or what was read"),
    "state batch at": (lambda c: c.state.batch().user("u").at(Cursor()), "not Cursor"),
    "state paths": (lambda c: c.state.user("u").get(paths="/a"), "paths takes a list of texts, not one text"),
    "state unset": (lambda c: c.state.user("u").unset_state(["a"]), "a field name must be text, not list"),
    "resources": (lambda c: c.resources.user(5), "user_id must be text, not int"),
    "resource": (lambda c: c.resources.user("u")[5], "name must be text, not int"),
    "resource named": (lambda c: c.resources.user("u").named(None), "name must be text, not NoneType"),
    "resource list": (lambda c: c.resources.user("u").list(5), "prefix must be text, not int"),
    "put media type": (
        lambda c: c.resources.user("u")["r"].put(media_type=5),
        "media_type must be text, not int",
    ),
    "put content": (lambda c: c.resources.user("u")["r"].put(content=5), "content must be bytes, not int"),
    "upload media type": (
        lambda c: c.resources.user("u")["r"].upload(b"x", media_type=5),
        "media_type must be text, not int",
    ),
    "upload": (
        lambda c: c.resources.user("u")["r"].upload([b"x"]),
        "a content is bytes, the path of a file, or an asynchronous iterator of bytes, not list",
    ),
    "upload pieces": (
        lambda c: c.resources.user("u")["r"].upload(_texts()),
        "a piece of a content must be bytes, not str",
    ),
    "resource at": (lambda c: c.resources.user("u")["r"].at("7"), "at takes a version or what was read"),
}


async def _made(call: Call, client: FlowStateClient) -> None:
    made = call(client)
    if inspect.isawaitable(made):
        await made


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_wrong_type_is_refused_by_name(
    server: FakeServer, client: FlowStateClient, mistake: str
) -> None:
    call, problem = MISTAKES[mistake]
    with pytest.raises(TypeError, match=re.escape(problem)):
        await _made(call, client)
    assert not [*server.sessions.seen, *server.flows.seen, *server.state.seen, *server.journal.seen]


VALUES: dict[str, tuple[Call, str]] = {
    "item audience": (
        lambda c: c.sessions.append_items("s", [NewItem("custom", 1, audiences=["cleint"])]),
        "audiences takes client, history or both, not 'cleint'",
    ),
    "internal item": (
        lambda c: c.sessions.append_items("s", [NewItem("custom", 1, audiences=["internal"])]),
        "audiences takes client, history or both, not 'internal'",
    ),
    "scope": (
        lambda c: c.sessions.snapshot("s", names={Scope.REQUEST: []}),
        "names are of session, user or org, not of 'request'",
    ),
    "resource view": (
        lambda c: c.resources.user("u")["r"].get(view="ful"),
        "a view is full or client, not 'ful'",
    ),
    "status": (lambda c: c.flows.requests(statuses="done"), "'done' is not a valid RequestStatus"),
}


@pytest.mark.parametrize("mistake", VALUES)
async def test_a_wrong_word_is_refused_with_those_there_are(client: FlowStateClient, mistake: str) -> None:
    call, problem = VALUES[mistake]
    with pytest.raises(ValueError, match=re.escape(problem)):
        await _made(call, client)


async def test_lists_of_any_kind_are_taken(client: FlowStateClient) -> None:
    tags = ["b", "a", "b"]
    for given in (tuple(tags), iter(tags), (tag for tag in tags), tags):
        assert (await client.sessions.create("chat", tags=given)).tags == ("b", "a", "b"), (
            "as they were given"
        )
    session = await client.sessions.create("chat")
    assert (await client.sessions.update(session.id, tags={"one"})).tags == ("one",)
    assert (await client.sessions.update(session.id, tags=[])).tags == ()


def test_one_status_or_type_is_taken_for_a_list() -> None:
    completed = status_numbers([RequestStatus.COMPLETED])
    assert status_numbers(RequestStatus.COMPLETED) == status_numbers("completed") == completed
    assert event_filter("status", None) == event_filter(["status"], None)


def test_an_item_is_for_clients_unless_it_says_otherwise() -> None:
    codec = JsonCodec()
    assert len(NewItem("custom", 1).to_proto(codec).audiences) == 2
    assert not NewItem("custom", 1, audiences=()).to_proto(codec).audiences
    assert NewItem("custom", 1, audiences=[Audience.CLIENT]).to_proto(codec).audiences


def test_the_log_is_warned_of_a_type_of_event_that_is_not_known(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "flowstate_client"):
        assert event_filter(EVENT_TYPES, None) is not None
        assert not caplog.messages
        found = event_filter(("item.dne", "zzz"), None)
    assert found is not None
    assert list(found.types) == ["item.dne", "zzz"], "a newer server may have them"
    assert caplog.messages == [
        "no event type 'item.dne' is known to this client; did you mean 'item.done'?",
        "no event type 'zzz' is known to this client; a flow's own events are of the type 'custom'",
    ]
    assert set(EVENT_TYPES) == set(EventType)
