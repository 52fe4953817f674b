from __future__ import annotations

import json
import signal
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flowstate_client import (
    CustomEvent,
    Event,
    Item,
    ItemDelta,
    ItemDone,
    ItemRemoved,
    ModelUsage,
    RequestFailed,
    RequestQueued,
    ResourceChange,
    RouterDecided,
    Scope,
    StateChange,
    Trimmed,
)
from flowstate_client.models import Failure
from flowstate_server.cli.event_line import event_line
from tests.cli.flowstate_command import flowstate, started, told

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_it_follows_a_request_to_its_end_in_lines_of_json(chat_server: str) -> None:
    say = ("call", "chat", "say", '{"message": "hello"}', "--request-id", "followed")
    output = json.loads(flowstate(*say, "--server", chat_server).stdout)
    done = flowstate("tail", "followed", "--server", chat_server)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.code == 0
    assert events[0]["type"] == "request.created"
    assert events[-1]["type"] == "request.completed"
    assert events[-1]["output"] == output
    assert "".join(event["text"] for event in events if event["type"] == "item.delta") == output
    assert {event["request_id"] for event in events} == {"followed"}


def test_it_follows_a_session_over_all_its_requests(chat_server: str) -> None:
    for request_id in ("over", "all"):
        say = ("call", "chat", "say", '{"message": "hi"}', "--request-id", request_id, "--session", "whole")
        flowstate(*say, "--server", chat_server)
    with started(
        "tail", "--session", "whole", "--server", chat_server, "--type", "request.completed"
    ) as tail:
        assert tail.stdout is not None
        events = [json.loads(tail.stdout.readline()) for _ in range(2)]
        tail.send_signal(signal.SIGINT)
        assert tail.wait(10) == 130
    assert [(event["type"], event["request_id"]) for event in events] == [
        ("request.completed", "over"),
        ("request.completed", "all"),
    ]
    refused = flowstate("tail", "--session", "never", "--server", chat_server)
    assert (refused.code, "SESSION_NOT_FOUND" in refused.stderr) == (4, True)


@pytest.mark.parametrize("named", [(), ("a", "--session", "s")])
def test_it_needs_a_request_or_a_session(chat_server: str, named: tuple[str, ...]) -> None:
    done = flowstate("tail", *named, "--server", chat_server)
    assert (done.code, done.stdout) == (2, "")
    assert "name a request, or a session by --session" in done.stderr


def test_a_line_has_the_place_in_the_log_that_is_shown() -> None:
    event = ItemDelta(sequence=3, session_sequence=17, time=AT, type="item.delta", text="x")
    assert str(event_line(event)).startswith("    3 ")
    assert str(event_line(event, of_session=True)).startswith("   17 ")


def test_it_begins_behind_a_sequence(chat_server: str) -> None:
    flowstate("call", "chat", "say", '{"message": "hello"}', "--request-id", "half", "--server", chat_server)
    whole = flowstate("tail", "half", "--server", chat_server).stdout.splitlines()
    middle = json.loads(whole[2])["sequence"]
    rest = flowstate("tail", "half", "--server", chat_server, "--after", str(middle)).stdout.splitlines()
    assert rest == whole[3:]


@pytest.mark.parametrize(
    ("option", "variable", "refusal"),
    [
        ("--user", "FLOWSTATE_USER", "REQUEST_NOT_FOUND"),
        ("--org", "FLOWSTATE_ORG", "REQUEST_NOT_FOUND"),
    ],
    ids=["user", "org"],
)
def test_the_request_must_be_of_the_user_and_org_that_are_given(
    slow_server: str, option: str, variable: str, refusal: str
) -> None:
    call = ("call", "slow", "nap", "0.0", "--request-id", f"of-acme{option}", "--server", slow_server)
    assert flowstate(*call, "--user", "acme", "--org", "acme").code == 0
    tail = ("tail", f"of-acme{option}", "--server", slow_server)
    assert flowstate(*tail, option, "acme").code == 0
    assert flowstate(*tail, **{variable: "acme"}).code == 0
    for refused in (flowstate(*tail, option, "other"), flowstate(*tail, **{variable: "other"})):
        assert refused.code == 4
        assert refusal in refused.stderr


def test_a_token_decides_whose_requests_are_seen(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[[tokens]]\ntoken = "of-nobody"\n')
    command = ("serve", "tests.cli.slow_flow:slow", "--listen", "127.0.0.1:0", "--tokens", str(tokens))
    with started(*command) as process:
        server = str(told(process, "listening")["address"])
        options = ("--server", server, "--token", "of-nobody", "--user", "ada")
        assert flowstate("call", "slow", "nap", "0.0", "--request-id", "r", *options).code == 0
        assert flowstate("tail", "r", *options).code == 0


def test_the_trusted_plane_shows_what_is_internal(slow_server: str) -> None:
    flowstate("call", "slow", "nap", "0.0", "--request-id", "inside", "--server", slow_server)
    shown = flowstate("tail", "inside", "--server", slow_server).stdout
    assert "request.completed" in shown
    assert "asleep" not in shown
    assert "asleep" in flowstate("tail", "inside", "--server", slow_server, "--trusted").stdout


def test_it_shows_events_as_they_come_and_ends_with_ctrl_c(slow_server: str) -> None:
    command = ("call", "slow", "nap", "60.0", "--request-id", "live", "--timeout", "0.3")
    flowstate(*command, "--server", slow_server)
    with started("tail", "live", "--server", slow_server) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["type"] == "request.created"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == ""


def test_swept_events_are_noticed_with_what_has_a_meaning() -> None:
    command = ("serve", "examples.chat:flowstate", "--listen", "127.0.0.1:0")
    with started(*command, FLOWSTATE_TRANSIENT_RETENTION="0", FLOWSTATE_LEASE="0.3") as process:
        server = str(told(process, "listening")["address"])
        say = ("call", "chat", "say", '{"message": "hello"}', "--request-id", "old", "--session", "s1")
        flowstate(*say, "--server", server)
        notice: dict[str, Any] = {}
        while notice.get("type") != "trimmed":
            lines = flowstate("tail", "old", "--server", server).stdout.splitlines()
            notice = json.loads(lines[0])
    assert notice.keys() == {"type", "request_id", "session_id", "first", "last", "cursor", "snapshot"}
    assert (notice["request_id"], notice["session_id"]) == ("old", "s1")
    assert 0 < notice["first"] <= notice["last"]


def test_a_type_that_is_not_known_is_refused_instead_of_waited_for(slow_server: str) -> None:
    types = ("--type", "item.delta", "--type", "itm.done")
    done = flowstate("tail", "--session", "s", *types, "--server", slow_server)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "flowstate: --type: no event type 'itm.done' is known to this client; did you mean 'item.done'?"
    ]


def test_an_unknown_request_is_a_failure(slow_server: str) -> None:
    done = flowstate("tail", "nobody", "--server", slow_server)
    assert done.code == 4
    assert "REQUEST_NOT_FOUND" in done.stderr


ITEM = Item(
    item_id="i",
    kind="message",
    role="assistant",
    name="",
    content={"parts": []},
    audiences=("client",),
    request_id="r",
    index=0,
    create_time=None,
)
LINES: dict[str, tuple[Event, str]] = {
    "delta": (
        ItemDelta(sequence=12, time=AT, type="item.delta", text="Hi\n"),
        r'item.delta            "Hi\n"',
    ),
    "item": (ItemDone(type="item.done", item=ITEM), 'message assistant {"parts": []}'),
    "text": (
        ItemDone(type="item.done", item=replace(ITEM, content={"parts": [{"type": "text", "text": "Hi"}]})),
        'message assistant "Hi"',
    ),
    "picture": (
        ItemDone(type="item.done", item=replace(ITEM, content={"parts": [{"type": "image", "url": "u"}]})),
        'message assistant {"parts": [{"type": "image", "url": "u"}]}',
    ),
    "state": (
        StateChange(type="state_change", scope=Scope.SESSION, version=3, changed={"/n": 1}, stale=("label",)),
        "session version 3 /n=1 label may have changed",
    ),
    "state of a block": (
        StateChange(
            type="state_change", scope=Scope.BLOCK, version=1, changed={"/n": 1}, owner_path=("a", "b#2")
        ),
        "block a/b#2 version 1 /n=1",
    ),
    "resource": (
        ResourceChange(type="resource_change", scope=Scope.USER, name="a", version=2, deleted=True),
        'user "a" deleted',
    ),
    "queued": (RequestQueued(type="request.queued", ahead=2), "request.queued        2 ahead"),
    "route": (RouterDecided(type="router.decided", block_path=("a", "b#2"), route="no"), 'a/b#2 to "no"'),
    "usage": (ModelUsage(type="model.usage", model="m", input_tokens=3), '"m": 3 tokens in, 0 out'),
    "removed": (ItemRemoved(type="item.removed", item_id="item_1"), "item_1"),
    "failure": (
        RequestFailed(
            type="request.failed", failure=Failure("INTERNAL", "the action failed", error_id="err_1")
        ),
        'INTERNAL: "the action failed" err_1',
    ),
    "swept events": (
        Trimmed(type="trimmed", first=3, last=12),
        "    - -        trimmed               of the events 3 to 12 those kept for a short time only are gone",
    ),
    "terminal controls": (
        CustomEvent(type="custom", name="x", data="\x1b[2J\x9b\u202e"),
        r'"\u001b[2J\u009b\u202e"',
    ),
}


@pytest.mark.parametrize(("event", "expected"), LINES.values(), ids=LINES)
def test_an_event_is_one_line_for_people(event: Event, expected: str) -> None:
    line = event_line(event).plain
    assert expected in line
    assert "\n" not in line
