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
from tests.cli.flowstate_command import CHECKOUT
from tests.cli.shell_terminal import typing

SHELLS = {
    "bash": ("--norc", "--noprofile", "-i"),
    "zsh": ("-f", "-i"),
}
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


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (("",), {"serve", "call", "tail", "watch", "store", "resources", "sessions"}),
        (("store", "c"), {"check", "copy"}),
        (("tail", "--"), {"--session", "--raw", "--after", "--server"}),
        (("serve", "--re"), {"--reload"}),
        (("serve", "chat:app", "--log-format", ""), {"json", "text"}),
    ],
    ids=" ".join,
)
def test_what_is_offered(typed: tuple[str, ...], offered: set[str]) -> None:
    assert offered <= {*complete(*typed)[0]}


@pytest.mark.parametrize(
    ("typed", "unneeded"),
    [
        (("ta",), {"grpc", "flowstate_client", "flowstate_server.engine.engine"}),
        (("tail", "--ses"), {"grpc", "flowstate_client", "flowstate_server.engine.engine"}),
        (("call", "--det"), {"grpc", "flowstate_client"}),
        (("watch", "--ra"), {"grpc", "flowstate_client"}),
        (("resources", "put", "--sta"), {"grpc", "flowstate_client"}),
        (("serve", "--rel"), {"grpc", "flowstate_server.engine.engine"}),
    ],
    ids=" ".join,
)
def test_nobody_waits_for_libraries_that_completion_does_not_need(
    typed: tuple[str, ...], unneeded: set[str]
) -> None:
    offered, loaded = complete(*typed)
    assert len(offered) == 1
    assert not unneeded & loaded


def complete(*typed: str) -> tuple[list[str], set[str]]:
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
