"""Reads that come while another one is under way share a snapshot, and nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.stores.sqlite.connection import Connection
from flowstate_server.stores.sqlite.reader import TOGETHER, Reader


class Reads:
    """Reads that tell of themselves; the first holds the thread until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.snapshots = 0
        """That were begun after :meth:`hold`."""

    def hold(self, cursor: sqlite3.Cursor) -> str:
        cursor.connection.set_trace_callback(self._note)
        self.begun.set()
        assert self.let_go.wait(10)
        return "held"

    def count(self, cursor: sqlite3.Cursor) -> int:
        """How many rows there are."""
        [(rows,)] = cursor.execute("SELECT count(*) FROM things").fetchall()
        return int(rows)

    def leave(self, cursor: sqlite3.Cursor) -> int:
        """The first row, from a generator that is left there, which closes the cursor."""

        def rows() -> Iterator[tuple[int]]:
            yield from cursor.execute("VALUES (1), (2)")

        (first,) = next(rows())
        return first

    def _note(self, statement: str) -> None:
        self.snapshots += statement == "BEGIN"


@pytest.fixture
def reads() -> Reads:
    return Reads()


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE things (thing)")
        database.execute("INSERT INTO things VALUES (1)")
    database.close()
    connection = await Connection.open(tmp_path / "a.db", "query_only = ON")
    yield connection
    await connection.close()


@pytest.fixture
def reader(connection: Connection) -> Reader:
    return Reader(connection, together_seconds=60)


async def _held(reader: Reader, reads: Reads) -> asyncio.Task[str]:
    held = asyncio.create_task(reader.run(reads.hold))
    await asyncio.to_thread(reads.begun.wait)
    return held


async def test_who_comes_meanwhile_shares_a_snapshot_that_begins_later(
    reader: Reader, reads: Reads, tmp_path: Path
) -> None:
    held = await _held(reader, reads)
    waiting = [asyncio.create_task(reader.run(reads.count)) for _ in range(TOGETHER)]
    await asyncio.sleep(0)
    with sqlite3.connect(tmp_path / "a.db") as other:
        other.execute("INSERT INTO things VALUES (2)")
    other.close()
    reads.let_go.set()
    assert await held == "held"
    assert await asyncio.gather(*waiting) == [2] * TOGETHER
    assert reads.snapshots == 1


async def test_an_error_is_that_of_one(reader: Reader, reads: Reads) -> None:
    held = await _held(reader, reads)

    def wrong(cursor: sqlite3.Cursor) -> None:
        raise LookupError("mine")

    def broken(cursor: sqlite3.Cursor) -> None:
        cursor.execute("SELECT * FROM nothing")

    tasks = [
        asyncio.create_task(reader.run(one)) for one in (reads.count, wrong, reads.count, broken, reads.count)
    ]
    await asyncio.sleep(0)
    reads.let_go.set()
    await held
    one, own, two, driver, three = await asyncio.gather(*tasks, return_exceptions=True)
    assert (one, two, three) == (1, 1, 1)
    assert isinstance(own, LookupError)
    assert isinstance(driver, StoreUnavailableError)


async def test_a_read_that_takes_too_long_ends_its_snapshot(connection: Connection, reads: Reads) -> None:
    reader = Reader(connection, together_seconds=0)
    held = await _held(reader, reads)
    tasks = [asyncio.create_task(reader.run(reads.count)) for _ in range(3)]
    await asyncio.sleep(0)
    reads.let_go.set()
    await held
    assert await asyncio.gather(*tasks) == [1, 1, 1]
    assert reads.snapshots == 3


async def test_what_one_leaves_in_the_midst_is_nothing_to_the_next(reader: Reader, reads: Reads) -> None:
    held = await _held(reader, reads)
    tasks = [asyncio.create_task(reader.run(one)) for one in (reads.leave, reads.count)]
    await asyncio.sleep(0)
    reads.let_go.set()
    await held
    assert await asyncio.gather(*tasks) == [1, 1]
    assert reads.snapshots == 1


async def test_who_leaves_takes_nothing_from_the_others(reader: Reader, reads: Reads) -> None:
    held = await _held(reader, reads)
    leaving, staying = (asyncio.create_task(reader.run(reads.count)) for _ in range(2))
    await asyncio.sleep(0)
    for task in (held, leaving):
        task.cancel()
    reads.let_go.set()
    assert await staying == 1
    assert await reader.run(reads.count) == 1
    assert all(
        isinstance(one, asyncio.CancelledError)
        for one in await asyncio.gather(held, leaving, return_exceptions=True)
    )


async def test_nobody_waits_for_a_reader_that_is_closed(tmp_path: Path, reads: Reads) -> None:
    sqlite3.connect(tmp_path / "b.db").close()
    connection = await Connection.open(tmp_path / "b.db")
    reader = Reader(connection)
    held = await _held(reader, reads)
    waiting = [asyncio.create_task(reader.run(reads.count)) for _ in range(3)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(connection.close())
    await asyncio.sleep(0)
    reads.let_go.set()
    assert await held == "held"
    await closing
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
    with pytest.raises(StoreUnavailableError):
        await reader.run(reads.count)
