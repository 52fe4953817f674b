"""Leases renewed from a thread of the caller's, on a connection and a place among the writers of its own."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from flowstate_server.errors import LeaseLostError, StoreUnavailableError
from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.stores.contract.backend import LeaseRenewal
from flowstate_server.stores.sqlite import connection as connections
from flowstate_server.stores.sqlite.database_files import DatabaseFiles
from flowstate_server.stores.sqlite.driver_errors import translated
from flowstate_server.stores.sqlite.reads import newest_time
from flowstate_server.stores.sqlite.writer import in_transaction
from flowstate_server.stores.sqlite.writer_queue import WriterQueue

RENEWED = "UPDATE processes SET lease = ?, renew_time = ? WHERE process = ? AND fenced = 0"


class SqliteRenewal(LeaseRenewal):
    """To the groups it is another process, one that wakes nobody: they forget the rows that they know."""

    def __init__(self, path: Path, files: DatabaseFiles, clock: ForwardClock, *pragmas: str) -> None:
        self._path = path
        self._files = files
        self._clock = clock
        self._pragmas = pragmas
        self._opened = ExitStack()
        self._own: tuple[WriterQueue, sqlite3.Connection] | None = None

    def renew(self, process: str, lease: Micros) -> None:
        self._files.check()  # or its opening would make a new one
        try:
            queue, connection = self._own or self._open()
            with queue:
                in_transaction(connection, partial(self._renew, process=process, lease=lease))
        except sqlite3.Error as error:
            translated(error)  # tells the log
            raise StoreUnavailableError from error
        except OSError as error:
            raise StoreUnavailableError from error

    def close(self) -> None:
        self._opened.close()
        self._own = None

    def _renew(self, cursor: sqlite3.Cursor, process: str, lease: Micros) -> None:
        # As for a group: another process may have begun before the machine's clock was set back.
        self._clock.follow(newest_time(cursor))
        if not cursor.execute(RENEWED, (lease, self._clock.now(), process)).rowcount:
            raise LeaseLostError

    def _open(self) -> tuple[WriterQueue, sqlite3.Connection]:
        with ExitStack() as opened:
            queue = WriterQueue(self._path.resolve())
            opened.callback(queue.close)
            connection = sqlite3.connect(self._path, timeout=connections.BUSY_SECONDS, isolation_level=None)
            opened.callback(connection.close)
            connections.set_pragmas(connection, self._pragmas)
            self._opened = opened.pop_all()
        self._own = queue, connection
        return self._own
