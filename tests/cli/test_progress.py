"""Bars for what takes long: on stderr, on a terminal that can be drawn on, and nowhere else."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.stores.contract.writes import RenewLease
from flowstate_server.stores.sqlite.store import SqliteStore
from tests.cli.flowstate_command import flowstate, started, told
from tests.cli.golden_files import on_terminal
from tests.cli.shell_terminal import typing
from tests.support.filled_store import PROCESS, fill

TERM = "xterm-256color"
LARGE = b"x" * 5_000_000


@pytest.fixture(scope="module")
def planner() -> Iterator[str]:
    """The address of a server whose sessions have resources."""
    with started("serve", "tests.cli.resource_flow:planner", "--listen", "127.0.0.1:0") as process:
        yield str(told(process, "listening")["address"])


def test_large_content_has_a_bar_and_small_content_none(planner: str, tmp_path: Path) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(LARGE)
    small.write_bytes(b"x")
    assert (
        flowstate("call", "planner", "begin", "--session", "s", "--user", "ada", "--server", planner).code
        == 0
    )
    of = ("--session", "s", "--trusted", "--server", planner)
    put = on_terminal("resources", "put", "files/a", "--content", str(large), *of, TERM=TERM)
    assert (put.code, "5.0/5.0 MB" in put.stdout, "files/a" in put.stdout) == (0, True, True)
    assert '"files/a" version 1' in put.stdout
    assert (
        "MB" not in on_terminal("resources", "put", "files/b", "--content", str(small), *of, TERM=TERM).stdout
    )
    assert "MB" not in on_terminal("resources", "put", "files/c", "--content", str(large), *of).stdout
    got = on_terminal("resources", "get", "files/a", "--content", str(tmp_path / "got"), *of, TERM=TERM)
    assert (got.code, "5.0/5.0 MB" in got.stdout) == (0, True)
    assert (tmp_path / "got").read_bytes() == LARGE
    piped = flowstate("resources", "get", "files/a", "--content", "-", *of)
    assert (piped.code, len(piped.stdout), piped.stderr) == (0, len(LARGE), "")


async def _fill(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    await fill(store, 3)
    await store.commit((RenewLease(PROCESS, Micros(1)),))  # whoever filled it has gone
    await store.close()


def test_copies_and_checks_have_a_bar_that_counts(tmp_path: Path) -> None:
    asyncio.run(_fill(tmp_path / "filled.db"))
    source, target = f"sqlite:///{tmp_path / 'filled.db'}", f"sqlite:///{tmp_path / 'copy.db'}"
    copied = on_terminal("store", "copy", source, target, TERM=TERM)
    assert (copied.code, "Copied 1 records, now: processes" in copied.stdout) == (0, True), copied
    checked = on_terminal("store", "check", target, TERM=TERM)
    assert (checked.code, "Checked 0 " in checked.stdout) == (0, True), checked


def test_what_is_piped_stays_in_its_pipe(tmp_path: Path) -> None:
    """The bar of a terminal takes stdout over, where that is the terminal, too."""
    source, target = f"sqlite:///{tmp_path / 'from.db'}", f"sqlite:///{tmp_path / 'to.db'}"
    assert flowstate("store", "migrate", source).code == 0
    file = tmp_path / "told"
    command = f"{sys.executable} -m flowstate_server store copy {source} {target} > {file}"
    with typing("/bin/sh", "-c", command, term=TERM) as terminal:
        assert terminal.wait_for_end() == 0
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == ["copying", "copied"]
    assert "{" not in terminal.shown
