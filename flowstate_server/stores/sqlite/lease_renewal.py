"""Leases renewed from a thread of the caller's, on a connection and a place among the writers of its own."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

from flowstate_server.errors import LeaseLostError, StoreUnavailableError
from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.stores.contract.backend import LeaseRenewal
from flowstate_server.stores.sqlite import connection as connections
from flowstate_server.stores.sqlite.driver_errors import translated
from flowstate_server.stores.sqlite.reads import newest_time
from flowstate_server.stores.sqlite.writer import in_transaction
from flowstate_server.stores.sqlite.writer_queue import WriterQueue

RENEWED = "UPDATE processes SET lease = ?, renew_time = ? WHERE process = ? AND fenced = 0"


class SqliteRenewal(LeaseRenewal):
    """To the groups it is another process, one that wakes nobody: they forget the rows that they know."""

    def __init__(self, path: Path, clock: ForwardClock, *pragmas: str) -> None:
        self._path = path
        self._clock = clock
        self._pragmas = pragmas
        self._queue: WriterQueue | None = None
        self._connection: sqlite3.Connection | None = None

    def renew(self, process: str, lease: Micros) -> None:
        try:
            with self._own_queue():
                in_transaction(self._own_connection(), partial(self._renew, process=process, lease=lease))
        except sqlite3.Error as error:
            translated(error)  # tells the log
            raise StoreUnavailableError from error
        except OSError as error:
            raise StoreUnavailableError from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._queue is not None:
            self._queue.close()
        self._connection = self._queue = None

    def _renew(self, cursor: sqlite3.Cursor, process: str, lease: Micros) -> None:
        # As for a group: another process may have begun before the machine's clock was set back.
        self._clock.follow(newest_time(cursor))
        if not cursor.execute(RENEWED, (lease, self._clock.now(), process)).rowcount:
            raise LeaseLostError

    def _own_queue(self) -> WriterQueue:
        if self._queue is None:
            self._queue = WriterQueue(self._path.resolve())
        return self._queue

    def _own_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(self._path, timeout=connections.BUSY_SECONDS, isolation_level=None)
            try:
                connections.set_pragmas(connection, self._pragmas)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection
