from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from flowstate_client import Cursor, Failure, Scope, Snapshot
from flowstate_server.cli.view_lines import ViewLines
from tests.cli.flowstate_command import flowstate, started, told
from tests.support.ports import lasting_port


def test_it_shows_each_view_as_a_line_of_json_and_ends_with_ctrl_c(chat_server: str) -> None:
    say = ("call", "chat", "say", '{"message": "hello"}', "--session", "watched", "--user", "ada")
    assert flowstate(*say, "--server", chat_server).code == 0
    with started("watch", "watched", "--user", "ada", "--server", chat_server) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        view = json.loads(process.stdout.readline())
        assert view["session_id"] == "watched"
        before = view["client_data"]["session"]["message_count"]
        assert flowstate(*say, "--server", chat_server).code == 0
        while view["client_data"]["session"]["message_count"] == before:
            view = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == ""


def test_what_is_not_there_and_what_is_not_shown_to_this_user(chat_server: str) -> None:
    say = ("call", "chat", "say", '{"message": "hello"}', "--session", "of-ada", "--user", "ada")
    assert flowstate(*say, "--server", chat_server).code == 0
    for options in (("never",), ("of-ada", "--user", "bob")):
        refused = flowstate("watch", *options, "--server", chat_server)
        assert refused.code == 4
        assert "SESSION_NOT_FOUND" in refused.stderr


def test_it_says_that_it_waits_for_a_server_that_is_away(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{lasting_port()}"
    serve = (
        "serve",
        "examples.chat:flowstate",
        "--store",
        f"sqlite:///{tmp_path}/chat.db",
        "--listen",
        listen,
    )
    say = (
        "call",
        "chat",
        "say",
        '{"message": "hello"}',
        "--session",
        "s",
        "--user",
        "ada",
        "--server",
        listen,
    )
    with started(*serve) as server:
        told(server, "listening")
        assert flowstate(*say).code == 0
        with started("watch", "s", "--user", "ada", "--server", listen) as watch:
            assert watch.stdout is not None
            assert watch.stderr is not None
            assert json.loads(watch.stdout.readline())["session_id"] == "s"
            server.terminate()
            assert server.wait(20) == 0
            line = watch.stderr.readline()
            assert line.startswith(
                f"flowstate: waiting for the server at {listen}, which has not answered for "
            )
            with started(*serve) as again:
                told(again, "listening")
                assert flowstate(*say).code == 0
                view = json.loads(watch.stdout.readline())
                assert view["client_data"]["session"]["message_count"] == 2
            watch.send_signal(signal.SIGINT)
            assert watch.wait(10) == 130
            assert watch.stderr.read() == "", "once is enough"


def _view(values: dict[str, Any], version: int, failures: dict[str, Failure] | None = None) -> Snapshot[Any]:
    return Snapshot(
        session_id="s1",
        client_data={"session": values},
        versions={Scope.SESSION: version},
        failures={Scope.SESSION: failures} if failures else {},
        active_requests={},
        cursor=Cursor(),
        read_time=None,
    )


def test_a_terminal_shows_what_has_changed() -> None:
    lines = ViewLines()
    failed = Failure("INTERNAL", "the derived value failed", error_id="err_1")

    def shown(view: Snapshot[Any]) -> list[str]:
        return [line.plain.split(" ", 1)[1] for line in lines.of(view)]

    assert shown(_view({}, 0)) == ["session  version 0"]
    assert shown(_view({"count": 1, "title": "a\x1b[2J"}, 1)) == [
        'session  version 1 count=1 title="a\\u001b[2J"'
    ]
    assert shown(_view({"count": 1, "title": "a\x1b[2J"}, 2)) == []
    assert shown(_view({"count": 2}, 3, {"label": failed})) == [
        'session  version 3 count=2 label failed: INTERNAL "the derived value failed" err_1 title removed'
    ]
    assert shown(_view({"count": 2, "label": "x"}, 4)) == ['session  version 4 label="x"']
