"""Noticing what other processes commit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.clock import SECOND, ForwardClock, Micros
from flowstate_server.stores.contract.watch import Topic, WatchHub
from flowstate_server.stores.sqlite.connection import Connection
from flowstate_server.stores.sqlite.sweeps import trim_commits
from flowstate_server.stores.sqlite.writer import Writer
from flowstate_server.stores.tables.numbers import decode_topics

_log = logging.getLogger(__name__)

INTERVAL = 0.01
"""Seconds between looks: what a commit of another process waits to be noticed. A look that finds nothing reads one
number in shared memory."""
BACK_OFF = 1.0
"""Seconds between looks while they fail."""
MOST_BEHIND = 10_000
"""Commits over which waking everyone costs less than reading whom each is for."""
TRIM_INTERVAL = 10.0
TRIM_AGE = 60 * SECOND
"""Rows must outlive the looks of all processes, also of one that was stopped for a while."""
TRIM_BATCH = 1_000
"""Rows a delete, so that none holds up the groups behind it."""


class CommitPoller:
    """Wakes the watches of this process for commits of others, and trims the table they are told by.

    ``connection`` is the poller's own: it never writes and holds no cursor open, so its ``data_version`` tells.
    """

    def __init__(self, connection: Connection, writer: Writer, hub: WatchHub, clock: ForwardClock) -> None:
        self._connection = connection
        self._writer = writer
        self._hub = hub
        self._clock = clock
        self._stopping = threading.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._data_version = 0  # the thread's
        self._seen = 0  # the thread's
        self._newest = 0  # the loop's
        self._own: set[int] = set()

    async def start(self) -> None:
        self._data_version, self._newest = await self._connection.run(_now)
        self._seen = self._newest
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._trim())]

    async def close(self) -> None:
        self._stopping.set()
        follow, trim = self._tasks
        trim.cancel()
        await asyncio.wait((follow, trim))

    def skip(self, commit: int) -> None:
        """That commit is this store's own, and its watches are awake."""
        if commit > self._newest:
            self._own.add(commit)

    async def _follow(self) -> None:
        try:
            await self._connection.run(self._poll, asyncio.get_running_loop())
        finally:
            self._stopping.set()

    def _poll(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        """Poll until stopped; on the connection's thread. While that fails, everyone is woken at the slower pace."""
        failed = False
        while not self._stopping.wait(BACK_OFF if failed else INTERVAL):
            topics: list[tuple[int, list[Topic]]] | None
            try:
                topics = self._look(connection)
                failed = False
            except Exception as error:
                if not failed:
                    _log.error("SQLite can't be polled for commits: %s", error)
                topics = None
                failed = True
            if topics is None or topics:
                loop.call_soon_threadsafe(self._deliver, self._seen, topics)

    def _look(self, connection: sqlite3.Connection) -> list[tuple[int, list[Topic]]] | None:
        [(version,)] = connection.execute("PRAGMA data_version").fetchall()
        if version == self._data_version:
            return []
        self._seen, found = _found(connection, self._seen, self._own)
        self._data_version = version
        return found

    def _deliver(self, newest: int, found: list[tuple[int, list[Topic]]] | None) -> None:
        self._newest = max(self._newest, newest)
        if found is None:
            self._hub.wake_all()
        else:
            for commit, topics in found:
                if commit not in self._own:
                    self._hub.wake(topics)
        self._own = {commit for commit in self._own if commit > self._newest}

    async def _trim(self) -> None:
        while True:
            await asyncio.sleep(TRIM_INTERVAL)
            with contextlib.suppress(StoreUnavailableError):
                await trim(self._writer, self._clock)


async def trim(writer: Writer, clock: ForwardClock) -> None:
    """Delete the commits that every poller but a stuck one has seen."""
    before = clock.now() - TRIM_AGE
    while await writer.run(trim_commits, before=Micros(before), limit=TRIM_BATCH) == TRIM_BATCH:
        pass


def _now(connection: sqlite3.Connection) -> tuple[int, int]:
    [(version,)] = connection.execute("PRAGMA data_version").fetchall()
    return version, _newest(connection)


def _newest(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'commits'").fetchall()
    return found[0][0] if found else 0


def _found(
    connection: sqlite3.Connection, after: int, own: set[int] | frozenset[int] = frozenset()
) -> tuple[int, list[tuple[int, list[Topic]]] | None]:
    """The newest commit's number and the commits after ``after``; ``None`` where some are gone or it is too many.

    Where all are this store's own, only that the newest is there.
    """
    newest = _newest(connection)
    if newest - after > MOST_BEHIND:
        return newest, None
    if newest > after and own.issuperset(range(after + 1, newest + 1)):
        return newest, [(newest, [])]
    query = "SELECT id, topics FROM commits WHERE id > ? ORDER BY id"
    found = [(commit, decode_topics(text)) for commit, text in connection.execute(query, (after,)).fetchall()]
    if found:
        newest = found[-1][0]
    return newest, found if len(found) == newest - after else None
