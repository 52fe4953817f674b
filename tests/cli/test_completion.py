"""Completion in real shells: what ``flowstate --show-completion`` prints, and a key that somebody presses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from flowstate_server.cli.application import application
from flowstate_server.cli.lazy_commands import LazyGroup
from tests.cli.flowstate_command import CHECKOUT, flowstate
from tests.cli.shell_terminal import typing

SHELLS = {
    "bash": ("--norc", "--noprofile", "-i"),
    "zsh": ("-f", "-i"),
}
PATIENCE = "20"  # of a busy machine
READY = "ready-to-complete"


def command(folder: Path) -> Path:
    """A folder with the command ``flowstate`` of this checkout in it."""
    script = folder / "bin" / "flowstate"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m flowstate_server "$@"\n')
    script.chmod(0o755)
    return script.parent


@pytest.mark.parametrize("shell", SHELLS)
def test_a_key_completes_commands_and_options(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    with typing(program, *SHELLS[shell], folder=command(tmp_path)) as terminal:
        if shell == "zsh":
            terminal.type("autoload -U compinit; compinit -u -D\n")
        terminal.type('eval "$(flowstate --show-completion)"; PS1="> "; echo ready-to-"complete"\n')
        terminal.wait_for(READY)
        terminal.type("flowstate wat\t")
        terminal.wait_for("watch ")
        terminal.type("--tena\t")
        terminal.wait_for("--tenant ")
        terminal.type("\x15flowstate sessions reso\t")  # Ctrl-U empties the line
        terminal.wait_for("resolve ")


def test_bash_offers_what_the_server_has_and_files_where_one_is_meant(
    chat_server: str, tmp_path: Path
) -> None:
    program = shutil.which("bash")
    assert program is not None
    with typing(program, *SHELLS["bash"], folder=command(tmp_path)) as terminal:
        terminal.type("bind 'set bell-style none'; eval \"$(flowstate --show-completion)\"\n")
        terminal.type(f"export FLOWSTATE_COMPLETION_TIMEOUT={PATIENCE} FLOWSTATE_SERVER={chat_server}\n")
        terminal.type('PS1="> "; echo ready-to-"complete"\n')
        terminal.wait_for(READY)
        terminal.type("flowstate call \t")
        terminal.wait_for("flowstate call chat ")
        terminal.type("\x15flowstate call --server 127.0.0.1:1 READ\tNOTHING")
        terminal.wait_for("READNOTHING")
        terminal.type("\x15flowstate call chat say READ\tNOTHING")
        terminal.wait_for("READNOTHING")
        terminal.type("\x15flowstate watch --tls-ca READ\t")
        terminal.wait_for("README.md ")


OFFERED: dict[tuple[str, ...], set[str]] = {
    ("",): {"serve", "call", "tail", "watch", "store", "resources", "sessions"},
    ("store", "c"): {"check", "copy"},
    ("tail", "--"): {"--session", "--raw", "--after", "--server"},
    ("serve", "chat:app", "--log-format", ""): {"json", "text"},
    ("tail", "r1", "--type", "item."): {"item.added", "item.delta", "item.done", "item.removed"},
    ("requests", "list", "--status", ""): {"queued", "in_progress", "completed"},
}


@pytest.mark.parametrize("typed", OFFERED, ids=" ".join)
def test_what_is_offered(typed: tuple[str, ...]) -> None:
    assert OFFERED[typed] <= {*complete(*typed)[0]}


def test_what_the_server_has_is_offered(chat_server: str) -> None:
    made = flowstate("sessions", "create", "chat", "--id", "completed", "--server", chat_server)
    assert made.code == 0, made.stderr
    server = ("--server", chat_server)
    assert complete("sessions", "list", *server, "--flow", "c", patience=PATIENCE)[0] == ["chat"]
    assert complete("call", *server, "chat", "", patience=PATIENCE)[0] == ["prefer", "say"]
    for words in (("tail", *server, "--session"), ("items", *server), ("sessions", "delete", *server)):
        assert complete(*words, "comp", patience=PATIENCE)[0] == ["completed"], words


def test_requests_and_whose_state_it_is_are_offered(chat_server: str) -> None:
    server = ("--server", chat_server)
    ids = ("--session", "talked", "--request-id", "said")
    said = flowstate("call", "chat", "say", '{"message": "hi"}', *ids, "--user", "ada", *server)
    assert said.code == 0, said.stderr
    assert complete("tail", *server, "sai", patience=PATIENCE)[0] == ["said"]
    assert complete("state", "get", *server, "session", "talk", patience=PATIENCE)[0] == ["talked"]


@pytest.mark.parametrize("server", ["127.0.0.1:1", "nowhere", "192.0.2.1:7437"])
def test_nothing_is_offered_where_no_server_answers(server: str) -> None:
    offered, told = complete("call", "--server", server, "")
    assert offered == []
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "typed",
    [
        ("ta",),
        ("tail", "--ses"),
        ("call", "--det"),
        ("watch", "--ra"),
        ("resources", "put", "--sta"),
        ("serve", "--rel"),
    ],
    ids=" ".join,
)
def test_nobody_waits_for_libraries_that_completion_does_not_need(typed: tuple[str, ...]) -> None:
    offered, loaded = complete(*typed)
    assert len(offered) == 1
    assert not {"grpc", "flowstate_client", "flowstate_server.engine.engine"} & loaded


def complete(*typed: str, patience: str = "") -> tuple[list[str], set[str]]:
    """What a shell is given for the last word of ``typed``, and the modules that were loaded for it."""
    program = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "from flowstate_server.__main__ import main; main()"
    )
    words = " ".join(("flowstate", *typed))
    environment = {
        **os.environ,
        "_FLOWSTATE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(typed)),
        "FLOWSTATE_COMPLETION_TIMEOUT": patience,
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.stdout.split(), set(done.stderr.split())


def test_the_list_of_commands_says_what_they_say_themselves() -> None:
    group = get_command(application)
    assert isinstance(group, LazyGroup)
    for one in group.lazy_commands:
        assert " ".join((one.load().help or "").split()).startswith(one.help.rstrip(".")), one.name
