"""The Postgres store: its parts, opened and closed in order."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import ClassVar

from flowstate_server.errors import FlowStateError, StoreOpenError, StoreUnreachableError
from flowstate_server.stores.contract.backend import Backend, Ports
from flowstate_server.stores.contract.watch import WatchHub
from flowstate_server.stores.postgres.address import Address, parse_address
from flowstate_server.stores.postgres.blob_pieces import PostgresBlobPieces
from flowstate_server.stores.postgres.commit_listener import CommitListener
from flowstate_server.stores.postgres.commit_notifier import CommitNotifier
from flowstate_server.stores.postgres.commit_poller import CommitPoller
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.driver_errors import DRIVER_ERRORS, is_passing
from flowstate_server.stores.postgres.exports import PostgresExports
from flowstate_server.stores.postgres.group_storage import PostgresStorage
from flowstate_server.stores.postgres.lease_renewal import PostgresLeaseRenewal
from flowstate_server.stores.postgres.migrations import migrate
from flowstate_server.stores.postgres.nodes import Hosts, Nodes
from flowstate_server.stores.postgres.reads import PostgresReads
from flowstate_server.stores.postgres.store_clock import StoreClock
from flowstate_server.stores.postgres.sweeps import PostgresSweeps
from flowstate_server.stores.store import Store

POOL = 8
SERVERLESS_POOL = 2


class PostgresStore(Store):
    """``dsn`` is a URL, ``postgresql://user:password@host:port/database``. ``pool`` is the most connections to read
    with; a few more do the store's own work.

    ``serverless``: ``dsn`` leads through a transaction pooler. Notifications are heard through ``listen_dsn`` then,
    the database's direct URL; without one, other processes' commits are found by looking, within half a second.

    Without ``create`` a database that has no tables of FlowState's is not opened; without ``update`` one of an older
    release stays as it is, and what needs the newer tables fails.
    """

    def __init__(
        self,
        dsn: str,
        *,
        pool: int | None = None,
        serverless: bool = False,
        listen_dsn: str | None = None,
        create: bool = True,
        update: bool = True,
    ) -> None:
        backend = PostgresBackend(
            dsn, pool=pool, serverless=serverless, listen_dsn=listen_dsn, create=create, update=update
        )
        super().__init__(backend)


class PostgresBackend(Backend):
    shared: ClassVar[bool] = True

    def __init__(
        self,
        dsn: str,
        *,
        pool: int | None,
        serverless: bool,
        listen_dsn: str | None,
        create: bool,
        update: bool,
    ) -> None:
        if pool is not None and pool < 1:
            raise ValueError("pool must be at least 1")
        self._dsn = dsn
        self._listen_dsn = listen_dsn or (None if serverless else dsn)
        self._serverless = serverless
        self._create = create
        self._update = update
        self._pool = pool or (SERVERLESS_POOL if serverless else POOL)
        self._clock = StoreClock()
        self._opened = AsyncExitStack()

    async def open(self) -> Ports:
        address = parse_address(self._dsn)
        hub, clock = WatchHub(), self._clock
        async with AsyncExitStack() as opened:
            async with _telling_why(address):
                connections = Connections(address, size=self._pool, pooled=self._serverless)
                await connections.open()
                opened.push_async_callback(connections.close)
                await migrate(connections, address.shown, create=self._create, update=self._update)
                poller = CommitPoller(connections, hub)
                await poller.start()
                opened.push_async_callback(poller.close)
            name = secrets.token_hex(8)
            await self._listen(opened, connections.nodes, poller, hub, name)
            notifier = CommitNotifier(connections, name)
            notifier.start()
            opened.push_async_callback(notifier.close)
            self._opened = opened.pop_all()
        return Ports(
            groups=PostgresStorage(connections, clock, poller, notifier),
            reads=PostgresReads(connections, clock),
            sweeps=PostgresSweeps(connections),
            hub=hub,
            exports=PostgresExports(connections),
            pieces=PostgresBlobPieces(connections),
            renewal=PostgresLeaseRenewal(connections, clock),
        )

    async def close(self) -> None:
        await self._opened.aclose()

    async def _listen(
        self, opened: AsyncExitStack, nodes: Nodes, poller: CommitPoller, hub: WatchHub, name: str
    ) -> None:
        if self._listen_dsn is None:
            return
        address = parse_address(self._listen_dsn)
        async with _telling_why(address):
            listener = CommitListener(Hosts(address, nodes), poller, hub, name)
            opened.push_async_callback(listener.close)
            await listener.start()


postgres_stores = partial(PostgresStore, serverless=True)
"""A :class:`PostgresStore` for serverless use: behind a transaction pooler, with few connections."""


@asynccontextmanager
async def _telling_why(address: Address) -> AsyncIterator[None]:
    try:
        yield
    except StoreOpenError:
        raise
    except (*DRIVER_ERRORS, ValueError, FlowStateError) as error:
        why = error.__cause__ or error
        text = address.hide(str(why) or type(why).__name__)
        kind = StoreUnreachableError if is_passing(why) else StoreOpenError
        raise kind(problem=f"{address.shown}: {text}") from None
