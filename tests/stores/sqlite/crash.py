"""Makes a store behave as if its process died in the middle of a commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from flowstate_server.stores.sqlite import SqliteStore
from flowstate_server.stores.sqlite.connection import Connection


def crash_after(store: SqliteStore, statements: int) -> None:
    """The store dies right after that many more statements of its writer; 0: before the next."""
    writer, reader = store.backend.writer, store.backend.reader
    death = _Death(statements, [reader._connection])
    writer._connection = _DyingConnection(writer._connection, death)  # type: ignore[assignment]


class _Death:
    def __init__(self, statements: int, readers: list[Connection]) -> None:
        self._left = statements
        self._readers = readers

    def statement(self, run: Callable[[], Any]) -> Any:
        self._check()
        answer = run()
        self._left -= 1
        self._check()
        return answer

    def _check(self) -> None:
        if self._left <= 0:
            for reader in self._readers:
                reader._open = False
            raise sqlite3.OperationalError("the process died")


class _DyingConnection:
    def __init__(self, connection: Connection, death: _Death) -> None:
        self._connection = connection
        self._death = death

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self._connection.run(
            lambda connection: function(_DyingDriver(connection, self._death), *args)
        )


class _DyingDriver:
    """What the writer uses of a ``sqlite3.Connection`` and its cursor. Rolling back is what the next open would do."""

    def __init__(self, connection: sqlite3.Connection, death: _Death) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._death = death

    def cursor(self) -> _DyingDriver:
        return self

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def rollback(self) -> None:
        self._connection.rollback()

    def execute(self, *args: Any) -> _DyingDriver:
        self._death.statement(lambda: self._cursor.execute(*args))
        return self

    def executemany(self, *args: Any) -> _DyingDriver:
        self._death.statement(lambda: self._cursor.executemany(*args))
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    def fetchall(self) -> Any:
        return self._cursor.fetchall()

    def fetchone(self) -> Any:
        return self._cursor.fetchone()
