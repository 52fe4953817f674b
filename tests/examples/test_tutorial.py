"""The six steps of the tutorial, one after the other, with a server that is killed in between."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.flowstate_command import flowstate, started, told
from tests.support.pages import Block, Page, commands, names_of

PAGE = Page("docs/tutorial.md")
FIRST, CHAT, SCREEN, TEST = PAGE.blocks("python")
[PROJECT] = PAGE.blocks("toml")
SERVE, CALLS, SERVE_FILE, TEA, COCOA, NO_COFFEE, RUN_TEST = PAGE.blocks("console")


@contextmanager
def serving(block: Block, folder: Path) -> Iterator[str]:
    """Run the server of a block; its address. In the end it is killed."""
    [serve] = commands(block)
    with started(*serve.words[1:], "--listen", "127.0.0.1:0", cwd=folder) as process:
        yield told(process, "listening")["address"]


def test_a_chat_that_survives_restarts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my_chat.py").write_text(FIRST)
    with serving(SERVE, tmp_path) as address:
        good, bad = commands(CALLS)
        assert said(good.words, address) == good.printed
        refused = flowstate(*bad.words[1:], FLOWSTATE_SERVER=address)
        assert (refused.code, refused.stdout) == (2, "")
        assert "message" in refused.stderr

    (tmp_path / "my_chat.py").write_text(CHAT)
    with serving(SERVE_FILE, tmp_path) as address:
        [call] = commands(TEA)
        assert said(call.words, address) == call.printed

    with serving(SERVE_FILE, tmp_path) as address:
        [call] = commands(COCOA)
        assert said(call.words, address) == call.printed
        [screen] = commands(NO_COFFEE)
        main = names_of(SCREEN.replace("127.0.0.1:7437", address))["main"]
        capsys.readouterr()
        asyncio.run(main(*screen.words[2:]))
        shown = capsys.readouterr().out
        assert [line.rstrip() for line in shown.splitlines()] == screen.printed.splitlines()


def said(words: list[str], address: str) -> str:
    done = flowstate(*words[1:], FLOWSTATE_SERVER=address)
    assert done.code == 0, done.stderr
    return done.stdout


def test_its_test_passes(tmp_path: Path) -> None:
    for name, content in {"my_chat.py": CHAT, "test_my_chat.py": TEST, "pyproject.toml": PROJECT}.items():
        (tmp_path / name).write_text(content)
    _, run = commands(RUN_TEST)
    assert run.words[0] == "python"
    command = [sys.executable, "-W", "error", *run.words[1:]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
