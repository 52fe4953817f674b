"""Text of strangers on an operator's terminal, and lines of JSON in a pipe whatever the environment says."""

from __future__ import annotations

import json

import pytest

from flowstate_client import (
    Cursor,
    Event,
    Item,
    ItemDone,
    ResourceChange,
    Scope,
    SessionMetadataChanged,
    Snapshot,
    StateChange,
)
from flowstate_client.models import Failure
from flowstate_server.cli.event_line import event_json, event_line
from flowstate_server.cli.problem import note
from flowstate_server.cli.telling import json_line
from flowstate_server.cli.view_lines import ViewLines
from tests.cli.flowstate_command import flowstate, started, told

# It would name the window, clear the screen, write over the line, and turn its reading round.
EVIL = "a\x1b]0;b\x07\x1b[2J\r\x9b31mc\u2028d\u202ee\u061cf\x85"


def obeyed(text: str) -> set[str]:
    """Characters of ``EVIL`` in ``text`` that a terminal or a reader of lines does something at."""
    return set(EVIL) & set(text) - set("abcdef]0;[2J31m")


@pytest.mark.parametrize(
    "event",
    [
        ItemDone(item=Item("i", "message", EVIL, EVIL, EVIL, (), "r", 0, None)),
        StateChange(
            scope=Scope.SESSION, owner_path=(EVIL,), changed={EVIL: EVIL}, removed=(EVIL,), stale=(EVIL,)
        ),
        ResourceChange(scope=Scope.SESSION, name=EVIL, changed={EVIL: EVIL}, removed=(EVIL,), stale=(EVIL,)),
        SessionMetadataChanged(paths=(EVIL,)),
        Event(type=EVIL),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_line_of_an_event_moves_no_cursor(event: Event) -> None:
    assert not obeyed(str(event_line(event)))
    assert len(event_json(event).splitlines()) == 1


def test_a_line_of_a_view_moves_no_cursor() -> None:
    failures = {Scope.SESSION: {EVIL: Failure(EVIL, EVIL)}}
    data = {Scope.SESSION: {f"{EVIL}2": EVIL}}
    view = Snapshot("s", data, {Scope.SESSION: 1}, failures, {}, Cursor(), None)
    (line,) = ViewLines().of(view)
    assert not obeyed(str(line))


def test_a_problem_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    note(EVIL)
    assert not obeyed(capsys.readouterr().err.rstrip("\n"))


def test_json_is_one_line_to_everybody_who_reads_lines() -> None:
    text = json_line({"a": EVIL, EVIL: "\u2029\x7f\x80"})
    assert len(text.splitlines()) == 1
    assert json.loads(text) == {"a": EVIL, EVIL: "\u2029\x7f\x80"}


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE", "CLICOLOR_FORCE"])
def test_a_pipe_gets_json_where_colours_are_forced(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    with started("serve", "tests.cli.slow_flow:slow", "--listen", "127.0.0.1:0") as process:
        server = ("--server", str(told(process, "listening")["address"]))
        call = flowstate("call", "slow", "echo", '"x"', "--request-id", "r", *server)
        assert (call.stdout, json.loads(call.stderr)["request_id"]) == ('"x"\n', "r")
        lines = flowstate("tail", "r", *server).stdout.splitlines()
        assert json.loads(lines[-1])["type"] == "request.completed"
        process.terminate()
        assert told(process, "stopping")
        assert told(process, "stopped")
