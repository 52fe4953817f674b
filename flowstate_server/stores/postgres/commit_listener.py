"""Hearing of other processes' commits, on one connection that does nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from flowstate_server.stores.contract.watch import WatchHub
from flowstate_server.stores.log_throttle import LogThrottle
from flowstate_server.stores.postgres.commit_notifier import CHANNEL
from flowstate_server.stores.postgres.commit_poller import CommitPoller
from flowstate_server.stores.postgres.driver_errors import DRIVER_ERRORS, described
from flowstate_server.stores.postgres.nodes import Hosts

_log = logging.getLogger(__name__)
_log.addFilter(LogThrottle())

CONNECT_SECONDS = 5.0
ALIVE_INTERVAL = 5.0
"""Seconds between questions whether the connection lives, as it tells of nothing else while nobody commits."""
ALIVE_SECONDS = 5.0
"""Seconds for the answer. While a dead connection is taken for a live one, the poller's own looks find commits."""
FIRST_BACK_OFF = 0.1
LONGEST_BACK_OFF = 5.0


class CommitListener:
    """Calls the poller for every notification that is not from ``name``, this store itself.

    A lost connection is made again; as nobody knows what was missed, everyone is woken then.
    """

    def __init__(self, hosts: Hosts, poller: CommitPoller, hub: WatchHub, name: str) -> None:
        self._hosts = hosts
        self._poller = poller
        self._hub = hub
        self._own = f"{name}:"
        self._lost = asyncio.Event()
        self._connection: Any = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises what the driver does if the address is wrong."""
        await self._connect()
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        if self._connection is not None:
            self._connection.terminate()

    async def _connect(self) -> None:
        connection = await self._hosts.connect(
            timeout=CONNECT_SECONDS, command_timeout=ALIVE_SECONDS, statement_cache_size=0
        )
        self._connection = connection
        self._lost.clear()
        connection.add_termination_listener(self._ended)
        if await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid():
            _log.warning(
                "%s, to listen at, is a pooler and not the database itself: notifications don't come through, other"
                " servers' commits are found by looking, within half a second",
                self._hosts.address.shown,
            )
        await connection.add_listener(CHANNEL, self._heard)

    def _ended(self, connection: Any) -> None:
        if connection is self._connection:
            self._lost.set()

    def _heard(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        if not payload.startswith(self._own):
            self._poller.look()

    async def _work(self) -> None:
        while True:
            try:
                await self._stay()
            except DRIVER_ERRORS as error:
                _log.warning("the connection for notifications was lost: %s", described(error))
            self._connection.terminate()
            await self._reconnect()
            self._hub.wake_all()
            self._poller.look()

    async def _stay(self) -> None:
        while not self._lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ALIVE_INTERVAL):
                    await self._lost.wait()
                    return
            await self._connection.execute("SELECT 1")

    async def _reconnect(self) -> None:
        back_off = FIRST_BACK_OFF
        while True:
            try:
                return await self._connect()
            except DRIVER_ERRORS as error:
                _log.info("no connection for notifications yet: %s", described(error))
            await asyncio.sleep(back_off)
            back_off = min(back_off * 2, LONGEST_BACK_OFF)
