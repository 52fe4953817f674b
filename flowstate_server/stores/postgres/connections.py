"""The connections of a store: some to read with, a few for its own work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import asyncpg

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.stores.postgres.address import Address
from flowstate_server.stores.postgres.driver_errors import DRIVER_ERRORS, is_loss, translating
from flowstate_server.stores.postgres.nodes import Hosts, NodeRefusedError, Nodes

CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 10.0
"""More than a lock may be waited for, and well below a lease: connections may die without a word."""
BEGIN_SECONDS = 3.0
"""Neither BEGIN nor ROLLBACK waits for anything."""
CLOSE_SECONDS = 5.0
"""For a goodbye; then connections are cut."""
WORKING = 4
"""Connections for groups, for sweeps, for notifications and for looking at commits: none ever waits for a reader's."""

# Bounds for a process that is stopped in the middle of a group while it holds locks.
_BOUNDS = {"idle_in_transaction_session_timeout": "5s", "lock_timeout": "8s"}

# Statements are planned once for all arguments, perhaps while their tables are empty: without these the plan would be
# to read a whole table, or to sort a whole range for a page of it, and would stay so while the table grows.
_PLANNING = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
}

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"


class Connections:
    """``pooled``: through a pooler that hands each transaction to any of its own connections. There nothing may stay
    with a connection: no prepared statements, no settings, no listening."""

    def __init__(self, address: Address, *, size: int, pooled: bool) -> None:
        self._size = size
        self._pooled = pooled
        self._opened = AsyncExitStack()
        self._reading: asyncpg.Pool | None = None
        self._working: asyncpg.Pool | None = None
        bounds = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in _BOUNDS.items())
        self.begin = f"{BEGIN}; {bounds}" if pooled else BEGIN
        self.begin_seconds = STATEMENT_SECONDS if pooled else BEGIN_SECONDS  # a busy pooler lets BEGIN wait
        self._replaced = 0
        self.nodes = Nodes()
        self._hosts = Hosts(address, self.nodes)
        self._refused: NodeRefusedError | None = None

    async def open(self) -> None:
        async with AsyncExitStack() as opened:
            self._working = await self._pool(opened, WORKING)
            self._reading = await self._pool(opened, self._size)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        await self._opened.aclose()

    async def _pool(self, opened: AsyncExitStack, size: int) -> asyncpg.Pool:
        pool = await asyncpg.create_pool(
            min_size=0, max_size=size, reset=_nothing_to_reset, connect=self._hosts.connect, **self._options()
        )
        opened.push_async_callback(_close, pool)
        return pool

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "timeout": CONNECT_SECONDS,
            "command_timeout": STATEMENT_SECONDS,
            "connection_class": _Connection,
        }
        if self._pooled:
            return options | {"statement_cache_size": 0}
        settings = {"application_name": "flowstate"} | _BOUNDS | _PLANNING
        return options | {
            "statement_cache_size": 256,
            "max_cached_statement_lifetime": 0,
            "max_cacheable_statement_size": 0,
            "server_settings": settings,
        }

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Any]:
        """A connection for the store's own work. Errors are the driver's."""
        async with self._lent(self._working) as connection:
            yield connection

    @asynccontextmanager
    async def _lent(self, pool: asyncpg.Pool | None) -> AsyncIterator[Any]:
        if self._refused is not None:
            raise self._refused
        async with _of(pool).acquire(timeout=CONNECT_SECONDS) as connection:
            replaced = self._replaced
            try:
                yield connection
            except asyncio.CancelledError:
                # A statement may be under way. To give the connection back would be to wait for its end, in a task of
                # the pool's that nobody hears when it fails.
                let_go(connection)
                raise
            except DRIVER_ERRORS as error:
                if is_loss(error):
                    let_go(connection)
                    if replaced == self._replaced:
                        await self.replace()
                raise

    async def replace(self) -> None:
        """Use none of the connections again that are there now: what has lost one has often lost them all, and each
        would be found out by a statement that waits in vain."""
        self._replaced += 1
        for pool in (self._working, self._reading):
            await _of(pool).expire_connections()

    @asynccontextmanager
    async def fresh(self, seconds: float) -> AsyncIterator[Any]:
        """A connection that was not there before. Errors are the driver's."""
        connection = await self.connect(seconds)
        try:
            yield connection
        finally:
            connection.terminate()

    async def connect(self, seconds: float) -> Any:
        """A connection that is the caller's, on any event loop, and bounded by ``seconds`` in all it does."""
        return await self._hosts.connect(**self._options() | {"timeout": seconds, "command_timeout": seconds})

    async def look_at_node(self) -> None:
        """Behind a pooler no connection breaks when it turns to another node, so that it is looked for.

        Raises:
            StoreUnavailableError: it is not to be used; until it is another one nothing is done with it.
        """
        if not self._pooled:
            return
        with translating():
            async with _of(self._working).acquire(timeout=CONNECT_SECONDS) as connection:
                try:
                    await self.nodes.check(connection)
                except NodeRefusedError as error:
                    self._refused = error
                    raise
        self._refused = None

    async def fetch(self, query: str, *arguments: object) -> list[Any]:
        """The rows of one statement, which is one snapshot with every commit acknowledged before.

        Raises:
            StoreUnavailableError, InternalError: for errors of the driver.
        """
        return await self._rows(self._reading, query, arguments)

    async def work(self, query: str, *arguments: object) -> list[Any]:
        """As :meth:`fetch`, with a connection for the store's own work."""
        return await self._rows(self._working, query, arguments)

    async def _rows(self, pool: asyncpg.Pool | None, query: str, arguments: Iterable[object]) -> list[Any]:
        with translating():
            async with self._lent(pool) as connection:
                rows: list[Any] = await connection.fetch(query, *arguments)
                return rows


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    async def close(self, *, timeout: float | None = None) -> None:
        """That a dead connection does not answer a goodbye is no error; the pool says some in tasks of their own."""
        with suppress(*DRIVER_ERRORS):
            await super().close(timeout=timeout)


def _of(pool: asyncpg.Pool | None) -> asyncpg.Pool:
    if pool is None:
        raise StoreUnavailableError
    return pool


def let_go(connection: Any) -> None:
    """Close a connection that can't be relied on. The driver may have taken it back already."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def _nothing_to_reset(connection: Any) -> None:
    """Nothing that was done with a connection outlives its transaction."""


async def _close(pool: asyncpg.Pool) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await pool.close()
    except TimeoutError:
        pool.terminate()
