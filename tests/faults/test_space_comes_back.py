"""Sessions that are created, used, expired and removed while they are served: what they took comes back."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import asyncpg
import pytest

from flowstate_client import FlowStateClient
from flowstate_server.testing.server_process import ServerProcess, server_process
from tests.support.expiring_flow import APP, KIND
from tests.support.memory import resident
from tests.support.store_urls import new_store_url

BATCH = 500
SESSIONS = 10_000
AT_ONCE = 16
TABLES = (
    *(
        "sessions",
        "session_heads",
        "requests",
        "request_heads",
        "outcomes",
        "turns",
        "states",
        "events",
        "items",
    ),
    "documents",
)
"""``commits`` apart, which keeps those of the last minute."""
SHORT = {
    "tombstone_retention": 1.0,
    "transient_retention": 1.0,
    "idempotency_window": 1.0,
    "lease": 1.5,
}
SECONDS = 300.0


async def _live(client: FlowStateClient, number: int) -> None:
    """A life of a session: made, spoken to, sometimes deleted, else left alone; some are ephemeral."""
    session_id = f"session-{number}"
    if number % 5 == 0:
        await client.flows.call(KIND, "talk", f"hello {number}")
        return
    await client.sessions.create(KIND, session_id=session_id, title="T", tags=["a"], metadata={"n": number})
    for turn in range(3):
        await client.flows.call(KIND, "talk", f"turn {turn} of {number}", session_id=session_id)
    if number % 3 == 0:
        await client.sessions.delete(session_id)


async def _lives(client: FlowStateClient, first: int, count: int) -> None:
    numbers = iter(range(first, first + count))

    async def work() -> None:
        for number in numbers:
            await _live(client, number)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def _rows(url: str, path: Path) -> dict[str, int]:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(path)) as database:
            return {
                table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in (*TABLES, "commits")
            }
    connection = await asyncpg.connect(url)
    try:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM flowstate.{table}")
            for table in (*TABLES, "commits")
        }
    finally:
        await connection.close()


async def _empty(url: str, path: Path, *, commits: int) -> None:
    """Wait until no row is left, and few commits."""
    end = time.monotonic() + SECONDS
    rows = await _rows(url, path)
    while any(rows[table] for table in TABLES) or rows["commits"] > commits:
        assert time.monotonic() < end, rows
        await asyncio.sleep(0.5)  # nothing tells
        rows = await _rows(url, path)


async def _bytes(url: str, path: Path) -> int:
    """Of the database once its free pages were given back."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(path)) as database:
            database.execute("VACUUM")
            (pages,) = database.execute("PRAGMA page_count").fetchone()
            (size,) = database.execute("PRAGMA page_size").fetchone()
            return int(pages) * int(size)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM FULL")
        size = await connection.fetchval(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'flowstate' AND c.relkind = 'r'"
        )
        return int(size)
    finally:
        await connection.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_no_row_is_left_of_sessions_that_are_gone(kind: str, tmp_path: Path) -> None:
    async with _served(kind, tmp_path) as (url, path, _, client):
        await _lives(client, 0, 300)
        await _empty(url, path, commits=10**9)


@pytest.mark.soak
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_what_ten_thousand_sessions_took_comes_back(kind: str, tmp_path: Path) -> None:
    """Rows, bytes and memory are those of after the first thousand, within a tenth."""
    async with _served(kind, tmp_path) as (url, path, server, client):
        await _lives(client, 0, 2 * BATCH)
        await _empty(url, path, commits=10)
        size, memory = await _bytes(url, path), resident(server.pid)
        for first in range(2 * BATCH, 2 * BATCH + SESSIONS, BATCH):
            await _lives(client, first, BATCH)
        await _empty(url, path, commits=10)
        assert await _bytes(url, path) <= 1.1 * size
        assert resident(server.pid) <= 1.1 * memory


@asynccontextmanager
async def _served(kind: str, folder: Path) -> AsyncIterator[tuple[str, Path, ServerProcess, FlowStateClient]]:
    async with (
        new_store_url(kind, folder) as url,
        server_process(APP, store=url, log_level="warning", **SHORT) as server,
        FlowStateClient.connect(server.target, user="ada") as client,
    ):
        yield url, folder / "flowstate.db", server, client
