"""Rows of SQLite and Postgres that can't be understood."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from flowstate_server.stores.contract.tables import REQUESTS, SESSIONS, Table

_DAMAGE = {
    SESSIONS: "UPDATE sessions SET metadata = {{}} WHERE tenant = '{}' AND session_id = '{}'",
    REQUESTS: "UPDATE requests SET scopes = {{}} WHERE tenant = '{}' AND request_id = '{}'",
}


async def damage(url: str, table: Table[Any, Any], key: Any) -> None:
    """Spoil a record, if it is there."""
    await execute(url, _DAMAGE[table].format(*key))


async def execute(url: str, statement: str) -> int:
    """The number of rows that it changed. ``{}`` in it is half a JSON object."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(urlsplit(url).path[1:])) as database, database:
            return database.execute(statement.format("CAST('{' AS BLOB)")).rowcount
    connection = await asyncpg.connect(url, server_settings={"search_path": "flowstate"})
    try:
        done = await connection.execute(statement.format("'{'"))
        return int(done.split()[-1])
    finally:
        await connection.close()
