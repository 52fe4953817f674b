"""``flowstate store``, as an operator uses it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.stores.blobs import BlobFolder, Blobs
from flowstate_server.stores.contract.blob_writes import RequireBlob
from flowstate_server.stores.contract.writes import RenewLease
from flowstate_server.stores.sqlite.store import SqliteStore
from flowstate_server.testing.server_process import server_process
from tests.support.filled_store import PROCESS, fill
from tests.support.flows import APP
from tests.support.postgres_server import fresh_database

SESSIONS = 20


@pytest.fixture
async def filled(tmp_path: Path) -> str:
    store = SqliteStore(tmp_path / "filled.db")
    await store.open()
    await fill(store, SESSIONS)
    await store.commit((RenewLease(PROCESS, Micros(1)),))  # whoever filled it has gone
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


@pytest.mark.parametrize("command", [("check",), ("copy", "memory")])
async def test_a_store_in_use_is_left_alone(filled: str, command: tuple[str, ...]) -> None:
    async with server_process(APP, store=filled) as server:
        arguments = (*command[:1], filled, *command[1:])
        code, events, problem = await asyncio.to_thread(run, *arguments)
        assert (code, events) == (1, [])
        assert "uses the store; stop it, or wait" in problem
        assert await server.terminate() == 0
    assert (await asyncio.to_thread(run, *arguments))[0] == 0, "a server that stopped gives it up at once"


async def test_a_store_in_use_is_migrated(filled: str) -> None:
    async with server_process(APP, store=filled):
        assert (await asyncio.to_thread(run, "migrate", filled))[0] == 0


@pytest.mark.parametrize("command", [("check",), ("copy", "memory")])
def test_a_damaged_database_is_called_damaged(filled: str, command: tuple[str, ...]) -> None:
    with Path(filled.removeprefix("sqlite:///")).open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size // 3)
        file.write(bytes(size // 3))
    code, _, problem = run(*command[:1], filled, *command[1:])
    assert code == 2
    assert "malformed" in problem  # the database disk image, or its schema, by what was hit
    assert "repeat" not in problem


def test_a_copy_that_has_fallen_behind_is_to_be_begun_anew(filled: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path / 'copy.db'}"
    assert run("copy", filled, target)[0] == 0
    with closing(sqlite3.connect(filled.removeprefix("sqlite:///"))) as database:
        database.execute("UPDATE states SET version = version + 1 WHERE id = 'ada'")
        database.commit()
    code, events, _ = run("copy", filled, target)
    assert (code, events[-1]["differences"]) == (1, 2)
    assert events[-1]["problem"] == (
        "FROM has changed since the copy was begun, or TO was written to; copy it again, to an empty TO"
    )


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


def test_w6_a_copy_counts_each_record_once(filled: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(filled.removeprefix("sqlite:///"))) as database:
        (requests,) = database.execute("SELECT count(*) FROM requests").fetchone()
        (events,) = database.execute("SELECT count(*) FROM events").fetchone()
    told = run("copy", filled, f"sqlite:///{tmp_path / 'copy.db'}")[1][-1]["counts"]
    assert (told["sessions"], told["requests"], told["events"]) == (SESSIONS, requests, events)


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
        (("copy", "sqlite:///one.db", "sqlite:///./one.db"), "both URLs name the same store"),
        (("check", "chat.db"), "of that file: sqlite:///chat.db"),
        (("check", "sqlite:////nowhere/at/all.db"), "there is no store at /nowhere/at/all.db"),
        (("check", "file:///nowhere/at/all"), "there is no store at /nowhere/at/all"),
        (("check", "sqlite:///store.db?mode=ro"), "has parameters, a store of files takes none"),
        (("migrate", "file:store?x=1"), "has parameters, a store of files takes none"),
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


async def test_blobs_in_a_folder_are_checked_and_copied(tmp_path: Path) -> None:
    folder, copied, lost = (tmp_path / name for name in ("blobs", "copied", "lost"))
    store = SqliteStore(tmp_path / "from.db")
    await store.open()
    blobs = Blobs(store, BlobFolder(folder))
    blob = await blobs.begin(NO_TENANT)
    await blobs.append(blob, 0, b"content")
    await store.commit((await blobs.verify(blob, size=7), RequireBlob(blob)))
    await store.close()
    source, target = (f"sqlite:///{tmp_path / name}" for name in ("from.db", "to.db"))

    assert run("check", source, "--blobs", str(folder))[0] == 0
    code, events, _ = run("check", source)
    assert code == 1
    assert "if it is kept in another slot, name that" in events[0]["problem"]
    code, _, problem = run("check", source, "--blobs", str(lost))
    assert code == 2
    assert f"there is no folder {lost}" in " ".join(problem.split())

    code, _, problem = run("copy", source, target, "--to-blobs", str(copied))
    assert code == 2
    assert "if it is kept in another slot, name that" in " ".join(problem.split())
    code, events, _ = run("copy", source, target, "--from-blobs", str(folder), "--to-blobs", str(copied))
    assert (code, events[-1]["differences"]) == (0, 0)
    assert run("check", target, "--blobs", str(copied))[0] == 0
