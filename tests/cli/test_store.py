"""``flowstate store``, as an operator uses it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from flowstate_server.stores.sqlite.store import SqliteStore
from tests.support.filled_store import fill
from tests.support.postgres_server import fresh_database

SESSIONS = 20


@pytest.fixture
async def filled(tmp_path: Path) -> str:
    store = SqliteStore(tmp_path / "filled.db")
    await store.open()
    await fill(store, SESSIONS)
    await store.close()
    return f"sqlite:///{tmp_path / 'filled.db'}"


def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, events on stdout, and stderr."""
    command = [sys.executable, "-m", "flowstate_server", "store", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_migrate_makes_a_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    for _ in range(2):
        assert run("migrate", url) == (0, [{"event": "migrated", "store": url}], "")
    assert (tmp_path / "new.db").exists()


def test_a_whole_store_is_checked(filled: str) -> None:
    assert run("check", filled) == (0, [{"event": "checked", "problems": 0}], "")


def test_problems_are_told_one_by_one(filled: str) -> None:
    with closing(sqlite3.connect(filled.removeprefix("sqlite:///"))) as database:
        database.execute("DELETE FROM processes")
        database.commit()
    code, events, _ = run("check", filled)
    assert code == 1
    assert events[-1] == {"event": "checked", "problems": len(events) - 1}
    assert "runs on a process that is not there" in events[0]["problem"]


def test_a_copy_tells_its_progress_and_is_compared(filled: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path / 'copy.db'}"
    code, events, problem = run("copy", filled, target)
    assert (code, problem) == (0, "")
    assert {event["event"] for event in events[:-1]} == {"copying"}
    assert events[-1]["event"] == "copied"
    assert events[-1]["differences"] == 0
    assert events[-1]["counts"]["sessions"] == SESSIONS
    assert run("check", target)[0] == 0
    assert run("copy", filled, target)[1][-1] == events[-1], "nothing is copied twice"


def test_a_copy_onto_something_else_is_refused(filled: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert run("copy", filled, other)[0] == 0
    third = f"sqlite:///{tmp_path / 'third.db'}"
    assert run("copy", other, third)[0] == 0
    code, events, problem = run("copy", filled, third)
    assert (code, events) == (2, [])
    assert "the target is not empty" in problem


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "redis://user:c4nary@host"), "use memory, file:///PATH"),
        (("copy", "memory", "memory"), "memory is empty in a new process"),
        (("check", "sqlite:////nowhere/at/all.db"), "there is no store at /nowhere/at/all.db"),
        (("check", "file:///nowhere/at/all"), "there is no store at /nowhere/at/all"),
        (("copy", "file:///nowhere/at/all", "memory"), "there is no store at /nowhere/at/all"),
    ],
)
def test_what_can_not_be_done_is_said_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    code, events, problem = run(*arguments)
    assert (code, events) == (2, [])
    assert words in problem
    assert problem.count("\n") == 1
    assert "c4nary" not in problem


@pytest.mark.parametrize("arguments", [("check",), ("copy", "memory")])
async def test_an_empty_database_stays_empty(arguments: tuple[str, ...]) -> None:
    async with fresh_database() as dsn:
        command, *target = arguments
        code, events, problem = await asyncio.to_thread(run, command, dsn, *target)
        assert (code, events) == (2, [])
        assert "there is no store at" in problem
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT to_regnamespace('flowstate') IS NULL")
        await connection.close()


def test_an_empty_file_stays_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    assert run("check", f"sqlite:///{path}")[0] == 2
    assert [(file.name, file.stat().st_size) for file in tmp_path.iterdir()] == [("empty.db", 0)]
