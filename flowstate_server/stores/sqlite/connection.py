"""A connection and its thread: whole functions run there, never single statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import aiosqlite

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.stores.sqlite.driver_errors import translated

P = ParamSpec("P")
T = TypeVar("T")

BUSY_SECONDS = 5.0
"""How long SQLite itself waits for another process's lock: longer than a group takes, below a call's deadline."""
CACHED_STATEMENTS = 256
"""Texts that stay prepared: a write has one for each number of rows, and a load uses some dozens of them."""


class Connection:
    """Runs functions one after another on a thread of its own.

    Cancelling a caller does not stop its function: it ends its transaction and its answer is dropped.
    """

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._open = True

    @classmethod
    async def open(cls, path: Path, *pragmas: str) -> Connection:
        connection = cls(
            await aiosqlite.connect(
                path,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                cached_statements=CACHED_STATEMENTS,
                factory=_FunctionConnection,
            )
        )
        try:
            await connection.run(set_pragmas, pragmas)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def run(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """``function(connection, ...)``, on the connection's thread.

        Raises:
            Conflict, StoreUnavailableError, InternalError: for errors of the driver.
        """
        if not self._open:
            raise StoreUnavailableError
        try:
            [answer] = await self._connection.execute_fetchall(
                cast(str, lambda connection: function(connection, *args, **kwargs))
            )
        except sqlite3.Error as error:
            raise translated(error) from error
        return cast(T, answer)

    async def close(self) -> None:
        self._open = False
        await self._connection.close()


class _FunctionConnection(sqlite3.Connection):
    """Takes a function where SQL is expected: aiosqlite has no other way to run one as a whole on its thread."""

    def execute(self, sql: Any, parameters: Any = (), /) -> Any:
        if callable(sql):
            return _Answer(sql(self))
        return super().execute(sql, parameters)


class _Answer:
    def __init__(self, value: Any) -> None:
        self.value = value

    def fetchall(self) -> list[Any]:
        return [self.value]


def set_pragmas(connection: sqlite3.Connection, pragmas: Iterable[str]) -> None:
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").fetchall()
