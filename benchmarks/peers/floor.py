"""The floor: a table of messages and a counter, written and read by the driver alone, a turn in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiosqlite
import asyncpg

from benchmarks.peers.peer import Peer, text

TABLES = (
    "CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, count INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS messages (session TEXT, number INTEGER, role TEXT, content TEXT,"
    " PRIMARY KEY (session, number))",
)
CREATE = "INSERT INTO sessions VALUES ($1, $2)"
ADD = "INSERT INTO messages VALUES ($1, $2, $3, $4)"
RAISE = "UPDATE sessions SET count = count + 1 WHERE id = $1"
READ = "SELECT role, content, number FROM messages WHERE session = $1 ORDER BY number DESC"
COUNT = "SELECT count FROM sessions WHERE id = $1"


@asynccontextmanager
async def open_peer(url: str, variant: str) -> AsyncIterator[Peer]:
    if url.startswith("sqlite"):
        async with aiosqlite.connect(url.removeprefix("sqlite:///"), isolation_level=None) as database:
            for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", *TABLES):
                await database.execute(statement)
            yield SqliteFloor(database)
    else:
        async with asyncpg.create_pool(url) as pool:
            for statement in TABLES:
                await pool.execute(statement)
            yield PostgresFloor(pool)


class SqliteFloor:
    def __init__(self, database: aiosqlite.Connection) -> None:
        self._database = database
        self._lock = asyncio.Lock()

    async def grow(self, sessions: Sequence[str], turns: int) -> None:
        async with self._transaction():
            for session in sessions:
                await self._database.execute(CREATE, (session, turns))
                await self._database.executemany(ADD, _rows(session, 0, turns))

    async def turn(self, session: str, newest: int | None) -> int:
        async with self._transaction():
            limit = "" if newest is None else f" LIMIT {newest}"
            read = list(await self._database.execute_fetchall(READ + limit, (session,)))
            await self._database.executemany(ADD, _rows(session, _next_number(read), 1))
            await self._database.execute(RAISE, (session,))
        return len(read)

    async def increment(self, session: str) -> int:
        async with self._transaction():
            await self._database.execute(RAISE, (session,))
        return 0

    async def count(self, session: str) -> int:
        async with self._database.execute(COUNT, (session,)) as cursor:
            return int((await cursor.fetchone() or (0,))[0])

    async def cpu(self) -> float:
        return 0.0

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        async with self._lock:
            await self._database.execute("BEGIN IMMEDIATE")
            yield
            await self._database.execute("COMMIT")


class PostgresFloor:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def grow(self, sessions: Sequence[str], turns: int) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.executemany(CREATE, [(session, turns) for session in sessions])
            for session in sessions:
                await connection.executemany(ADD, _rows(session, 0, turns))

    async def turn(self, session: str, newest: int | None) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            limit = "" if newest is None else f" LIMIT {newest}"
            read = await connection.fetch(READ + limit, session)
            await connection.executemany(ADD, _rows(session, _next_number(read), 1))
            await connection.execute(RAISE, session)
        return len(read)

    async def increment(self, session: str) -> int:
        await self._pool.execute(RAISE, session)
        return 0

    async def count(self, session: str) -> int:
        return int(await self._pool.fetchval(COUNT, session))

    async def cpu(self) -> float:
        return 0.0


def _rows(session: str, number: int, turns: int) -> list[tuple[str, int, str, str]]:
    roles = ("user", "assistant")
    return [(session, number + offset, roles[offset % 2], text()) for offset in range(2 * turns)]


def _next_number(read: Sequence[Sequence[object]]) -> int:
    return int(str(read[0][2])) + 1 if read else 0
