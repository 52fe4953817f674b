"""``docs/guides/command-line.md`` shows what the commands show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from flowstate_server.cli import problem
from tests.cli.flowstate_command import CHECKOUT
from tests.cli.golden_files import difference, on_terminal, without_varying

PAGE = Path("docs/guides/command-line.md")
TEXT = (CHECKOUT / PAGE).read_text("utf-8")


def typed() -> Iterator[tuple[str, str]]:
    """Each command of the page, with what it shows; empty where the page does not tell."""
    for block in re.findall(r"^```console\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = entry.partition("\n")
            yield command, shown


def test_the_commands_show_what_the_page_says(chat_server: str) -> None:
    environment = {"FLOWSTATE_SERVER": chat_server, "FLOWSTATE_TENANT": "guide"}
    seen, told = [], []
    for command, shown in typed():
        words = shlex.split(command)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            environment.setdefault(name, value)
        elif "|" not in words:
            assert words[0] == "flowstate"
            done = on_terminal(*words[1:], **environment)
            assert "Usage:" not in done.stdout, command
            told += [f"$ {command}", without_varying(shown)]
            seen += [f"$ {command}", without_varying(done.stdout if shown else "")]
    assert seen == told, difference("\n".join(told), "\n".join(seen))


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    codes = {value for name, value in vars(problem).items() if name.isupper() and isinstance(value, int)}
    assert told == codes | {0}
