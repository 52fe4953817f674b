"""What is no id, or beyond a limit of the contract, is refused by its name where it is given."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from flowstate_client import FlowStateClient, NewItem
from tests.client.fakes import FakeServer

Call = Callable[..., Any]


async def _made(call: Call, client: FlowStateClient) -> None:
    made = call(client)
    if inspect.isawaitable(made):
        await made


LONG = "x" * 129
MESSAGE = NewItem.message("user", "hi")
IDS: dict[str, tuple[str, Call]] = {
    "flows.dispatch flow_kind": ("flow_kind", lambda c, id: c.flows.dispatch(id, "a")),
    "flows.dispatch action": ("action", lambda c, id: c.flows.dispatch("f", id)),
    "flows.call session_id": ("session_id?", lambda c, id: c.flows.call("f", "a", session_id=id)),
    "flows.call user_id": ("user_id?", lambda c, id: c.flows.call("f", "a", user_id=id)),
    "flows.stream org_id": ("org_id?", lambda c, id: c.flows.stream("f", "a", org_id=id)),
    "flows.validate request_id": ("request_id?", lambda c, id: c.flows.validate("f", "a", request_id=id)),
    "flows.handle": ("request_id", lambda c, id: c.flows.handle(id)),
    "flows.get": ("flow_kind", lambda c, id: c.flows.get(id)),
    "flows.requests session_id": ("session_id?", lambda c, id: c.flows.requests(session_id=id)),
    "flows.requests flow_kind": ("flow_kind?", lambda c, id: c.flows.requests(flow_kind=id)),
    "flows.requests action": ("action?", lambda c, id: c.flows.requests(flow_kind="f", action=id)),
    "flows.requests user_id": ("user_id?", lambda c, id: c.flows.requests(user_id=id)),
    "flows.requests org_id": ("org_id?", lambda c, id: c.flows.requests(org_id=id)),
    "sessions.create flow_kind": ("flow_kind", lambda c, id: c.sessions.create(id)),
    "sessions.create session_id": ("session_id?", lambda c, id: c.sessions.create("f", session_id=id)),
    "sessions.create user_id": ("user_id?", lambda c, id: c.sessions.create("f", user_id=id)),
    "sessions.create org_id": ("org_id?", lambda c, id: c.sessions.create("f", org_id=id)),
    "sessions.create tags": ("tags[0]", lambda c, id: c.sessions.create("f", tags=[id])),
    "sessions.create key": ("idempotency_key?", lambda c, id: c.sessions.create("f", idempotency_key=id)),
    "sessions.resolve flow_kind": ("flow_kind", lambda c, id: c.sessions.resolve(id, metadata={})),
    "sessions.resolve user_id": ("user_id?", lambda c, id: c.sessions.resolve("f", metadata={}, user_id=id)),
    "sessions.resolve org_id": ("org_id?", lambda c, id: c.sessions.resolve("f", metadata={}, org_id=id)),
    "sessions.resolve tags": ("tags[0]", lambda c, id: c.sessions.resolve("f", metadata={}, tags=[id])),
    "sessions.update": ("session_id", lambda c, id: c.sessions.update(id, title="t")),
    "sessions.update tags": ("tags[0]", lambda c, id: c.sessions.update("s", tags=[id])),
    "sessions.update key": (
        "idempotency_key?",
        lambda c, id: c.sessions.update("s", title="t", idempotency_key=id),
    ),
    "sessions.delete": ("session_id", lambda c, id: c.sessions.delete(id)),
    "sessions.get": ("session_id", lambda c, id: c.sessions.get(id)),
    "sessions.list flow_kind": ("flow_kind?", lambda c, id: c.sessions.list(flow_kind=id)),
    "sessions.list user_id": ("user_id?", lambda c, id: c.sessions.list(user_id=id)),
    "sessions.list org_id": ("org_id?", lambda c, id: c.sessions.list(org_id=id)),
    "sessions.list tags": ("tags[0]", lambda c, id: c.sessions.list(tags=[id])),
    "sessions.items": ("session_id", lambda c, id: c.sessions.items(id)),
    "sessions.items request_id": ("request_id?", lambda c, id: c.sessions.items("s", request_id=id)),
    "sessions.append_items": ("session_id", lambda c, id: c.sessions.append_items(id, [MESSAGE])),
    "sessions.append_items request_id": (
        "request_id?",
        lambda c, id: c.sessions.append_items("s", [MESSAGE], request_id=id),
    ),
    "sessions.append_items key": (
        "idempotency_key?",
        lambda c, id: c.sessions.append_items("s", [MESSAGE], idempotency_key=id),
    ),
    "sessions.remove_items": ("session_id", lambda c, id: c.sessions.remove_items(id, newest=1)),
    "sessions.remove_items ids": ("ids[0]", lambda c, id: c.sessions.remove_items("s", [id])),
    "sessions.remove_items after": ("after", lambda c, id: c.sessions.remove_items("s", after=id)),
    "sessions.remove_items key": (
        "idempotency_key?",
        lambda c, id: c.sessions.remove_items("s", newest=1, idempotency_key=id),
    ),
    "sessions.events": ("session_id", lambda c, id: c.sessions.events(id)),
    "sessions.snapshot": ("session_id", lambda c, id: c.sessions.snapshot(id)),
    "sessions.watch": ("session_id", lambda c, id: c.sessions.watch(id)),
    "state.session": ("session_id", lambda c, id: c.state.session(id)),
    "state.user": ("user_id", lambda c, id: c.state.user(id)),
    "state.user flow_kind": ("flow_kind?", lambda c, id: c.state.user("u", flow_kind=id)),
    "state.org": ("org_id", lambda c, id: c.state.org(id)),
    "state.request": ("request_id", lambda c, id: c.state.request(id)),
    "state.on_behalf_of": ("request_id", lambda c, id: c.state.user("u").on_behalf_of(id)),
    "state.delete": ("idempotency_key?", lambda c, id: c.state.user("u").delete(idempotency_key=id)),
    "state.batch of a record": (
        "idempotency_key?",
        lambda c, id: c.state.user("u").batch(idempotency_key=id),
    ),
    "state.batch": ("idempotency_key?", lambda c, id: c.state.batch(idempotency_key=id)),
    "state.batch request_id": ("request_id?", lambda c, id: c.state.batch(request_id=id)),
    "state.batch user": ("user_id", lambda c, id: c.state.batch().user(id)),
    "journal.append": ("session_id", lambda c, id: c.journal.append(id, "n")),
    "journal.append source": ("source?", lambda c, id: c.journal.append("s", "n", source=id)),
    "journal.append tags": ("tags[0]", lambda c, id: c.journal.append("s", "n", tags=[id])),
    "journal.append request_id": ("request_id?", lambda c, id: c.journal.append("s", "n", request_id=id)),
    "journal.append key": ("idempotency_key?", lambda c, id: c.journal.append("s", "n", idempotency_key=id)),
    "journal.list": ("session_id", lambda c, id: c.journal.list(id)),
    "resources.session": ("session_id", lambda c, id: c.resources.session(id)),
    "resources.user": ("user_id", lambda c, id: c.resources.user(id)),
    "resources.org": ("org_id", lambda c, id: c.resources.org(id)),
    "resources.put": (
        "idempotency_key?",
        lambda c, id: c.resources.user("u")["r"].put(idempotency_key=id),
    ),
    "resources.on_behalf_of": ("request_id", lambda c, id: c.resources.user("u")["r"].on_behalf_of(id)),
}
"""By the argument that is an id, with a ``?`` where it may be left empty."""


@pytest.mark.parametrize("place", IDS)
async def test_what_is_no_id_is_refused_where_it_is_given(
    server: FakeServer, client: FlowStateClient, place: str
) -> None:
    argument, call = IDS[place]
    name = argument.removesuffix("?")
    wrong = {
        LONG: f"{name} has 129 bytes of UTF-8, at most 128 can be sent",
        "a\nb": f"{name} must have no control character",
        "": f"{name} must not be empty",
    }
    if name != argument:
        del wrong[""]
    for id, problem in wrong.items():
        with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
            await _made(lambda c, id=id: call(c, id), client)
    assert not [*server.sessions.seen, *server.flows.seen, *server.state.seen, *server.journal.seen]


BOUNDS: dict[str, tuple[Call, str]] = {
    "flows.list": (lambda c: c.flows.list(page_size=-1), "page_size must be at least 0, not -1"),
    "flows.requests": (lambda c: c.flows.requests(page_size=-1), "page_size must be at least 0"),
    "sessions.list": (lambda c: c.sessions.list(page_size=2**31), "page_size must be at most 2147483647"),
    "sessions.items": (lambda c: c.sessions.items("s", page_size=-1), "page_size must be at least 0"),
    "items last turns": (lambda c: c.sessions.items("s", last_turns=-1), "last_turns must be at least 0"),
    "journal.list": (lambda c: c.journal.list("s", page_size=-1), "page_size must be at least 0"),
    "resources.list": (lambda c: c.resources.user("u").list(page_size=-1), "page_size must be at least 0"),
    "run.list_events": (
        lambda c: c.flows.handle("r").list_events(page_size=-1),
        "page_size must be at least 0",
    ),
    "sessions.list_events": (
        lambda c: c.sessions.list_events("s", page_size=-1),
        "page_size must be at least 0",
    ),
    "events after": (lambda c: c.sessions.events("s", after=-1), "after must be a Cursor, an Event or a"),
    "newest": (lambda c: c.sessions.remove_items("s", newest=0), "newest must be at least 1, not 0"),
    "newest 501": (lambda c: c.sessions.remove_items("s", newest=501), "newest must be at most 500"),
    "no ids": (lambda c: c.sessions.remove_items("s", []), "ids has 0 entries, at least one"),
    "ids": (lambda c: c.sessions.remove_items("s", ["i"] * 501), "ids has 501 entries, at most 500"),
    "no items": (lambda c: c.sessions.append_items("s", []), "items has 0 entries, at least one"),
    "items": (lambda c: c.sessions.append_items("s", [MESSAGE] * 501), "items has 501 entries, at most 500"),
    "no notes": (lambda c: c.journal.append_all("s", []), "notes has 0 entries, at least one"),
    "note": (lambda c: c.journal.append("s", "a\0b"), "text must have no U+0000"),
    "tags": (lambda c: c.sessions.create("f", tags=["t"] * 65), "tags has 65 entries, at most 64"),
    "title": (
        lambda c: c.sessions.create("f", title="é" * 513),
        "title has 1026 bytes of UTF-8, at most 1024",
    ),
    "new title": (lambda c: c.sessions.update("s", title="x" * 1025), "title has 1025 bytes"),
    "description": (
        lambda c: c.sessions.resolve("f", metadata={}, description="x" * 16385),
        "description has 16385 bytes of UTF-8, at most 16384",
    ),
    "reason": (lambda c: c.flows.handle("r").cancel("x" * 1025), "reason has 1025 bytes of UTF-8"),
    "name": (lambda c: c.resources.user("u")["x" * 513], "name has 513 bytes of UTF-8, at most 512"),
    "no name": (lambda c: c.resources.user("u").named(""), "name must not be empty"),
    "prefix": (lambda c: c.resources.user("u").list("x" * 513), "prefix has 513 bytes"),
    "content": (
        lambda c: c.resources.user("u")["r"].put(content=b"x" * (1024 * 1024 + 1)),
        "content has 1048577 bytes, at most 1048576; upload() takes more",
    ),
    "upload": (
        lambda c: c.resources.user("u")["r"].upload(memoryview(b"x" * (64 * 1024 * 1024 + 1))),
        "the content has 67108865 bytes or more, at most 67108864",
    ),
    "start": (lambda c: c.resources.user("u")["r"].read_pieces(start=-1), "start must be at least 0"),
    "version": (lambda c: c.state.user("u").at(-1), "the version must be at least 0, not -1"),
    "paths": (lambda c: c.state.user("u").get(paths=["a"]), "paths[0] must be a JSON Pointer, such as '/a'"),
    "many paths": (lambda c: c.state.user("u").get(paths=["/a"] * 101), "paths has 101 entries"),
    "timeout": (lambda c: c.sessions.get("s", timeout=-1), "timeout must be a time in seconds, not -1"),
    "call timeout": (lambda c: c.flows.call("f", "a", timeout=float("nan")), "timeout must be a time"),
    "result timeout": (lambda c: c.flows.handle("r").result(timeout=-0.1), "timeout must be a time"),
    "execution timeout": (
        lambda c: c.flows.dispatch("f", "a", execution_timeout=0),
        "execution_timeout must be a time in seconds, over 0, not 0",
    ),
    "outage": (lambda c: c.sessions.watch("s", max_outage=-1), "max_outage must be a time in seconds"),
    "stream outage": (lambda c: c.flows.stream("f", "a", max_outage=-1), "max_outage must be a time"),
    "input": (lambda c: c.flows.dispatch("f", "a", {"x": float("nan")}), "/x"),
    "metadata": (lambda c: c.sessions.create("f", metadata={"x": 2**63}), "/x"),
    "state": (lambda c: c.state.user("u").patch_state(x=b"bytes"), "/x"),
    "message": (lambda c: c.flows.dispatch("f", "a", "x" * (5 * 1024 * 1024)), "the message has 524"),
}


@pytest.mark.parametrize("place", BOUNDS)
async def test_what_is_beyond_a_limit_is_refused_where_it_is_given(
    server: FakeServer, client: FlowStateClient, place: str
) -> None:
    call, problem = BOUNDS[place]
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        await _made(call, client)
    assert not [*server.sessions.seen, *server.flows.seen, *server.state.seen, *server.journal.seen]
