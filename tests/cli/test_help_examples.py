"""The examples that the help of commands shows."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from flowstate_server.cli.application import application
from tests.cli.golden_files import COLUMNS, on_terminal

_OF_THE_SHELL = ("|", "&&", "#")

COMMAND: Any = typer.main.get_command(application)
COMMAND.load_all()


def commands(group: Any = COMMAND, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    context = group.make_context("flowstate", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def typed_lines() -> Iterator[tuple[str, ...]]:
    """What is behind each ``flowstate`` of an example, up to the next command of the shell."""
    for _, command in commands():
        example = (command.epilog or "").replace("\\\n", " ").replace("|\n", "| ")
        for line in example.splitlines():
            words = shlex.split(line)
            for start in [place + 1 for place, word in enumerate(words) if word == "flowstate"]:
                end = next((at for at in range(start, len(words)) if words[at] in _OF_THE_SHELL), len(words))
                piped = ("ID",) if words[start - 2] == "xargs" else ()
                yield (*words[start:end], *piped)


@pytest.mark.parametrize("words", list(typed_lines()), ids=" ".join)
def test_they_are_what_the_command_takes(words: tuple[str, ...]) -> None:
    found = dict(commands())
    path = next(words[:length] for length in (1, 2) if words[:length] in found)
    found[path].make_context("flowstate", list(words[len(path) :]))


OF_A_SERVER = [path for path, command in commands() if command.epilog]


@pytest.mark.parametrize("path", OF_A_SERVER, ids=" ".join)
def test_the_help_shows_them_and_fits_a_terminal(path: tuple[str, ...]) -> None:
    done = on_terminal(*path, "--help")
    assert done.code == 0
    assert "Examples:\n   " in done.stdout
    assert f"flowstate {' '.join(path)}" in done.stdout.partition("Examples:")[2]
    assert max(map(len, done.stdout.splitlines())) <= COLUMNS


def test_every_command_of_a_client_has_one() -> None:
    without = {path for path, command in commands() if not command.epilog}
    missing = {path[0] for path in without} & {
        *("sessions", "items", "snapshot", "state", "journal", "requests", "flows", "info", "health"),
        *("serve", "call", "tail", "watch", "store", "resources"),
    }
    assert not missing
