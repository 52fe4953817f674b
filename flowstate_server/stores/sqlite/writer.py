"""The one connection of a store that writes, but for the one that renews leases."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from flowstate_server.stores.sqlite.connection import Connection
from flowstate_server.stores.sqlite.database_files import DatabaseFiles
from flowstate_server.stores.sqlite.writer_queue import WriterQueue

P = ParamSpec("P")
T = TypeVar("T")


class Writer:
    """Runs each function in a transaction of its own, when the queue of writers lets it."""

    def __init__(self, connection: Connection, queue: WriterQueue, files: DatabaseFiles) -> None:
        self._connection = connection
        self._queue = queue
        self._files = files

    async def run(
        self, function: Callable[Concatenate[sqlite3.Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """``function(cursor, ...)`` and its commit, whole or not at all."""
        return await self._connection.run(self._transaction, lambda cursor: function(cursor, *args, **kwargs))

    def _transaction(self, connection: sqlite3.Connection, function: Callable[[sqlite3.Cursor], T]) -> T:
        with self._queue:
            self._files.check()
            return in_transaction(connection, function)


def in_transaction(connection: sqlite3.Connection, function: Callable[[sqlite3.Cursor], T]) -> T:
    if connection.in_transaction:  # an earlier rollback failed
        connection.rollback()
    cursor = connection.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    try:
        answer = function(cursor)
        cursor.execute("COMMIT")
    except BaseException:
        # Some errors, a full disk for one, make SQLite roll back by itself.
        if connection.in_transaction:
            connection.rollback()
        raise
    return answer
