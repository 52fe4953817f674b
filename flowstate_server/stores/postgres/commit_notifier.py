"""Telling other processes of commits, after them and on a connection of its own.

A NOTIFY inside a transaction takes a lock of the whole server at its commit: groups would wait for one another.
"""

from __future__ import annotations

import asyncio
import logging

from flowstate_server.stores.postgres.connections import BEGIN, Connections
from flowstate_server.stores.postgres.driver_errors import DRIVER_ERRORS, described

_log = logging.getLogger(__name__)

CHANNEL = "flowstate_commits"
PAUSE = 0.002
"""Seconds in which the next commits share a notification."""


class CommitNotifier:
    """Sends ``name:number`` with the newest commit's number; a notification lost costs a look of the poller.

    ``name`` is hexadecimal.
    """

    def __init__(self, connections: Connections, name: str) -> None:
        self._connections = connections
        self._name = name
        self._told = asyncio.Event()
        self._newest = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """What was told of before is sent."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait((self._task,))
        if self._told.is_set():
            await self._send()

    def tell(self, commit: int) -> None:
        self._newest = max(self._newest, commit)
        self._told.set()

    async def _work(self) -> None:
        while True:
            await self._told.wait()
            await asyncio.shield(self._send())
            await asyncio.sleep(PAUSE)

    async def _send(self) -> None:
        self._told.clear()
        notify = f"SELECT pg_notify('{CHANNEL}', '{self._name}:{self._newest}')"
        try:
            async with self._connections.working() as connection:
                # A notification needs no place on the disk, and whoever is told looks for itself.
                await connection.execute(f"{BEGIN}; SET LOCAL synchronous_commit = off; {notify}; COMMIT")
        except DRIVER_ERRORS as error:
            _log.info("Postgres could not be notified of commits: %s", described(error))
