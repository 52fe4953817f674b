"""The SQLite store: its parts, opened and closed in order."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import ClassVar

from flowstate_server.errors import InternalError, StoreOpenError, StoreUnavailableError
from flowstate_server.model.clock import ForwardClock
from flowstate_server.stores.contract.backend import Backend, Ports
from flowstate_server.stores.contract.watch import WatchHub
from flowstate_server.stores.sqlite.blob_pieces import SqlitePieces
from flowstate_server.stores.sqlite.commit_poller import CommitPoller
from flowstate_server.stores.sqlite.connection import Connection
from flowstate_server.stores.sqlite.database_files import DatabaseFiles
from flowstate_server.stores.sqlite.exports import SqliteExports
from flowstate_server.stores.sqlite.group_storage import SqliteGroups
from flowstate_server.stores.sqlite.known_rows import KnownRows
from flowstate_server.stores.sqlite.lease_renewal import SqliteRenewal
from flowstate_server.stores.sqlite.migrations import check_ours, migrate
from flowstate_server.stores.sqlite.presence import SqlitePresence
from flowstate_server.stores.sqlite.reader import Reader
from flowstate_server.stores.sqlite.reads import SqliteReads, newest_time
from flowstate_server.stores.sqlite.sweeps import SqliteSweeps
from flowstate_server.stores.sqlite.writer import Writer
from flowstate_server.stores.sqlite.writer_queue import WriterQueue
from flowstate_server.stores.store import Store

JOURNAL_SIZE_LIMIT = f"journal_size_limit = {64 * 1024 * 1024}"
FLOCK = sys.platform != "win32"
"""There the one place in the queue is taken, and there is nobody to lose a lease to."""
SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")


class SqliteStore(Store):
    """``synchronous`` is SQLite's own setting: anything below ``FULL`` may lose the newest commits when the machine
    (not merely the process) goes down. Without ``create`` a store that is not there is not opened, without ``update``
    one of an older release stays as it is, and what needs the newer tables fails."""

    backend: SqliteBackend

    def __init__(
        self, path: Path | str, *, synchronous: str = "FULL", create: bool = True, update: bool = True
    ) -> None:
        super().__init__(SqliteBackend(Path(path), synchronous, create=create, update=update))


class SqliteBackend(Backend):
    shared: ClassVar[bool] = True

    def __init__(self, path: Path, synchronous: str, *, create: bool, update: bool) -> None:
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous must be one of {', '.join(SYNCHRONOUS)}")
        self.path = path.absolute()
        self.clock = ForwardClock()
        self._pragmas = (f"synchronous = {synchronous}", JOURNAL_SIZE_LIMIT)
        self._create = create
        self._prepare = _prepare if update else _look
        self._files = DatabaseFiles(self.path)
        self._presence = SqlitePresence(self.path, self._files) if FLOCK else None
        self._opened = AsyncExitStack()

    async def open(self) -> Ports:
        with _telling_why(self.path):
            async with AsyncExitStack() as opened:
                queue = await asyncio.to_thread(self._open_queue)
                opened.callback(queue.close)
                connection = await self._connect(opened, *self._pragmas)
                await connection.run(self._prepare, queue, self.path)
                self.writer = Writer(connection, queue, self._files)
                self.reader = Reader(await self._connect(opened, "query_only = ON"))
                self.clock.follow(await self.reader.run(newest_time))
                connection = await self._connect(opened, "query_only = ON")
                hub = WatchHub()
                poller = CommitPoller(connection, self.writer, hub, self.clock)
                await poller.start()
                opened.push_async_callback(poller.close)
                self._files.note()
                if self._presence is not None:
                    opened.callback(self._presence.close)  # ahead of the files, which then may go
                    self._presence.open()
                self._opened = opened.pop_all()
        known = KnownRows()
        return Ports(
            groups=SqliteGroups(self.writer, poller, self.clock, known),
            reads=SqliteReads(self.reader, self.clock),
            sweeps=SqliteSweeps(self.writer, self.clock, known),
            hub=hub,
            exports=SqliteExports(self.reader),
            pieces=SqlitePieces(self.writer, self.reader),
            renewal=SqliteRenewal(self.path, self._files, self.clock, *self._pragmas) if FLOCK else None,
            presence=self._presence,
        )

    async def close(self) -> None:
        await self._opened.aclose()

    def _open_queue(self) -> WriterQueue:
        if self._create:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        elif not _has_content(self.path):
            raise StoreOpenError(problem=f"there is no store at {self.path}")
        _check_content(self.path)
        if self._presence is not None:
            self._presence.check_files()
        return WriterQueue(self.path.resolve())

    async def _connect(self, opened: AsyncExitStack, *pragmas: str) -> Connection:
        connection = await Connection.open(self.path, *pragmas)
        opened.push_async_callback(connection.close)
        return connection


def _check_content(path: Path) -> None:
    """Refuse what is no database, or another program's, before anything is made beside it.

    One that was not closed is left to its opening: only that may read the WAL.
    """
    real = path.resolve()
    if _has_content(real) and not _has_content(Path(f"{real}-wal")):
        with closing(sqlite3.connect(f"{real.as_uri()}?immutable=1", uri=True)) as connection:
            check_ours(connection, path)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


@contextmanager
def _telling_why(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, StoreUnavailableError, InternalError) as error:
        why = error.__cause__ or error
        raise StoreOpenError(problem=f"{path}: {why}") from error


def _look(connection: sqlite3.Connection, queue: WriterQueue, path: Path) -> None:
    check_ours(connection, path)


def _prepare(connection: sqlite3.Connection, queue: WriterQueue, path: Path) -> None:
    with queue:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        migrate(connection, path)
