"""The Postgres store: its parts, opened and closed in order."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import ClassVar

from flowstate_server.errors import FlowStateError, StoreOpenError, StoreUnavailableError
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.commit import GroupCommitter
from flowstate_server.stores.contract.exporting import Exporting, StoredSession
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.contract.watch import Topic, Watch, WatchHub
from flowstate_server.stores.contract.writes import Batch, CommitResult
from flowstate_server.stores.postgres import exports, reads, sweeps
from flowstate_server.stores.postgres.address import Address, parse_address
from flowstate_server.stores.postgres.commit_listener import CommitListener
from flowstate_server.stores.postgres.commit_notifier import CommitNotifier
from flowstate_server.stores.postgres.commit_poller import CommitPoller
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.driver_errors import DRIVER_ERRORS
from flowstate_server.stores.postgres.group_storage import PostgresStorage
from flowstate_server.stores.postgres.migrations import migrate
from flowstate_server.stores.postgres.store_clock import StoreClock
from flowstate_server.stores.store import Store

POOL = 8
SERVERLESS_POOL = 2


class PostgresStore(Store, Exporting):
    """``dsn`` is a URL, ``postgresql://user:password@host:port/database``. ``pool`` is the most connections to read
    with; a few more do the store's own work.

    ``serverless``: ``dsn`` leads through a transaction pooler. Notifications are heard through ``listen_dsn`` then,
    the database's direct URL; without one, other processes' commits are found by looking, within half a second.

    Without ``create`` a database that has no tables of FlowState's is not opened.
    """

    shared: ClassVar[bool] = True

    def __init__(
        self,
        dsn: str,
        *,
        pool: int | None = None,
        serverless: bool = False,
        listen_dsn: str | None = None,
        create: bool = True,
    ) -> None:
        if pool is not None and pool < 1:
            raise ValueError("pool must be at least 1")
        self._dsn = dsn
        self._listen_dsn = listen_dsn or (None if serverless else dsn)
        self._serverless = serverless
        self._create = create
        self._pool = pool or (SERVERLESS_POOL if serverless else POOL)
        self._hub = WatchHub()
        self._clock = StoreClock()
        self._opened = AsyncExitStack()
        self._committer: GroupCommitter | None = None
        self._connections: Connections | None = None

    async def open(self) -> None:
        address = parse_address(self._dsn)
        async with AsyncExitStack() as opened:
            async with _telling_why(address):
                connections = Connections(address, size=self._pool, pooled=self._serverless)
                await connections.open()
                opened.push_async_callback(connections.close)
                await migrate(connections, address.shown, create=self._create)
                poller = CommitPoller(connections, self._hub)
                await poller.start()
                opened.push_async_callback(poller.close)
            name = secrets.token_hex(8)
            await self._listen(opened, poller, name)
            notifier = CommitNotifier(connections, name)
            notifier.start()
            opened.push_async_callback(notifier.close)
            storage = PostgresStorage(connections, self._clock, self._hub, poller, notifier)
            committer = GroupCommitter(storage)
            committer.start()
            opened.push_async_callback(committer.close)
            self._opened = opened.pop_all()
        self._committer, self._connections = committer, connections

    async def close(self) -> None:
        await self._opened.aclose()

    async def _listen(self, opened: AsyncExitStack, poller: CommitPoller, name: str) -> None:
        if self._listen_dsn is None:
            return
        address = parse_address(self._listen_dsn)
        async with _telling_why(address):
            listener = CommitListener(address, poller, self._hub, name)
            opened.push_async_callback(listener.close)
            await listener.start()

    async def commit(self, batch: Batch) -> CommitResult:
        if self._committer is None:
            raise StoreUnavailableError
        return await self._committer.commit(batch)

    async def time(self) -> Micros:
        return self._clock.seen(await reads.time(self._open))

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        return await reads.get_session(self._open, key)

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> Sequence[ListedSession]:
        return await reads.list_sessions(self._open, which, limit, after)

    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        return await reads.get_request(self._open, key)

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        return await reads.load_states(self._open, keys)

    async def read_events(
        self, request: RequestKey, *, after: int, limit: int, max_bytes: int
    ) -> EventPage | None:
        return await reads.read_events(self._open, request, after, limit, max_bytes)

    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        return await reads.read_turns(self._open, session, log_id, newest)

    async def read_projection(self, session: SessionKey, scopes: Iterable[ScopeKey]) -> Projection | None:
        return await reads.read_projection(self._open, session, scopes)

    async def read_processes(self) -> Sequence[ProcessRecord]:
        return await reads.read_processes(self._open)

    async def read_running(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        return await reads.read_running(self._open, process, limit)

    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        return await reads.read_cancelled(self._open, process)

    def watch(self, topics: Iterable[Topic]) -> Watch:
        return self._hub.open(topics)

    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        return await sweeps.sweep_transient_events(self._open, retention=retention, limit=limit)

    async def sweep_idempotency_keys(self, *, limit: int) -> int:
        return await sweeps.sweep_idempotency_keys(self._open, limit=limit)

    async def sweep_processes(self, *, limit: int) -> int:
        return await sweeps.sweep_processes(self._open, limit=limit)

    async def export_sessions(self, *, after: SessionKey | None, limit: int) -> Sequence[StoredSession]:
        return await exports.sessions(self._open, after, limit)

    async def export_requests(
        self, *, after: RequestKey | None, limit: int, max_bytes: int
    ) -> Sequence[RequestRecord]:
        return await exports.requests(self._open, after, limit, max_bytes)

    async def export_events(
        self, session: SessionKey, log_id: str, *, after: int, limit: int, max_bytes: int
    ) -> Sequence[EventRecord]:
        return await exports.events(self._open, session, log_id, after, limit, max_bytes)

    async def export_states(
        self, *, after: ScopeKey | None, limit: int, max_bytes: int
    ) -> Sequence[StateRecord]:
        return await exports.states(self._open, after, limit, max_bytes)

    async def export_idempotency_keys(
        self, *, after: IdempotencyKey | None, limit: int, max_bytes: int
    ) -> Sequence[IdempotencyRecord]:
        return await exports.idempotency_keys(self._open, after, limit, max_bytes)

    @property
    def _open(self) -> Connections:
        if self._connections is None:
            raise StoreUnavailableError
        return self._connections


def postgres_stores(
    dsn: str,
    *,
    pool: int | None = None,
    serverless: bool = True,
    listen_dsn: str | None = None,
    create: bool = True,
) -> PostgresStore:
    """A :class:`PostgresStore` for serverless use: behind a transaction pooler, with few connections."""
    return PostgresStore(dsn, pool=pool, serverless=serverless, listen_dsn=listen_dsn, create=create)


@asynccontextmanager
async def _telling_why(address: Address) -> AsyncIterator[None]:
    try:
        yield
    except StoreOpenError:
        raise
    except (*DRIVER_ERRORS, ValueError, FlowStateError) as error:
        why = error.__cause__ or error
        text = address.hide(str(why) or type(why).__name__)
        raise StoreOpenError(problem=f"{address.shown}: {text}") from None
