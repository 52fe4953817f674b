"""What a flow shows, as a table that follows it."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from flowstate_client import Cursor, Failure, Scope, Snapshot
from flowstate_server.cli.live_view import LiveView
from tests.cli.flowstate_command import flowstate
from tests.cli.golden_files import compare
from tests.cli.shell_terminal import typing

TERM = "xterm-256color"


def view(values: dict[str, Any], version: int, failures: dict[str, Failure] | None = None) -> Snapshot[Any]:
    return Snapshot(
        session_id="s1",
        client_data={"session": values, "user": {"tone": "plain"}, "org": {}},
        versions={Scope.SESSION: version, Scope.USER: 0, Scope.ORG: 3},
        failures={Scope.SESSION: failures} if failures else {},
        active_requests={},
        cursor=Cursor(),
        read_time=None,
    )


def test_each_view_is_drawn_over_the_one_before() -> None:
    console = Console(width=80, height=25, force_terminal=True, color_system="standard", record=False)
    failed = Failure("INTERNAL", "the derived value failed", error_id="err_1")
    with console.capture() as capture, LiveView(console) as live:
        live.show(view({"count": 1, "title": "a\x1b[2J", "gone": True}, 1))
        live.show(view({"count": 2, "title": "long " * 20}, 2, {"label": failed}))
    compare("live_view", capture.get().replace("\x1b", "␛"))


def test_watch_follows_on_a_terminal_and_the_last_view_stays(chat_server: str) -> None:
    say = ("call", "chat", "say", '{"message": "hello"}', "--session", "drawn", "--user", "ada")
    assert flowstate(*say, "--server", chat_server).code == 0
    command = (sys.executable, "-m", "flowstate_server", "watch", "drawn", "--server", chat_server)
    with typing(*command, "--user", "ada", term=TERM) as terminal:
        terminal.wait_for("message_count")
        assert flowstate(*say, "--server", chat_server).code == 0
        terminal.wait_for("\x1b[1;33m2")
        terminal.type("\x03")
        assert terminal.wait_for_end() == 130
        assert "message_count" in terminal.shown
        assert "Traceback" not in terminal.shown


def test_watch_has_lines_on_a_terminal_that_cannot_be_drawn_on(chat_server: str) -> None:
    say = ("call", "chat", "say", '{"message": "hello"}', "--session", "lines", "--user", "ada")
    assert flowstate(*say, "--server", chat_server).code == 0
    command = (sys.executable, "-m", "flowstate_server", "watch", "lines", "--server", chat_server)
    with typing(*command, "--user", "ada") as terminal:
        terminal.wait_for('session  version 1 label="Chat" message_count=1')
        terminal.type("\x03")
        assert terminal.wait_for_end() == 130
