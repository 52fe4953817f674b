"""The six steps of the tutorial, one after the other, with a server that is killed in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.flowstate_command import flowstate, started, told
from tests.support.pages import Block, Page, commands, in_module, names_of

PAGE = Page("docs/tutorial.md")
FIRST, CHAT, SCREEN, TEST = PAGE.blocks("python")
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
        assert (refused.code, refused.stdout) == (1, "")
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


async def test_its_test_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    names = in_module("my_chat", monkeypatch, CHAT, TEST)
    await names["test_it_counts"]()
    await names["test_it_remembers"]()


def test_how_the_test_is_run() -> None:
    _, run = commands(RUN_TEST)
    assert run.words[:3] == ["python", "-m", "pytest"]
    assert run.words[-1] == "test_my_chat.py"
