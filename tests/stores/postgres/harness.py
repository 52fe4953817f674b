"""The Postgres store in the conformance suite: a database of its own for each check."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from flowstate_server.stores.contract.tables import Table
from flowstate_server.stores.postgres import PostgresStore
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract import StoreHarness
from tests.stores.damage import damage
from tests.stores.postgres.crash import crash_after
from tests.support.postgres_server import fresh_database


async def migrated(dsn: str) -> None:
    """Leave an empty, migrated database."""
    store = PostgresStore(dsn)
    await store.open()
    await store.close()


class PostgresHarness(StoreHarness):
    persistent = True
    shared = True

    def __init__(self, version: int | None = None, *, serverless: bool = False) -> None:
        super().__init__()
        self._version = version
        self._serverless = serverless
        self._database = AsyncExitStack()
        self._dsn = ""

    def make(self) -> Store:
        return PostgresStore(self._dsn, serverless=self._serverless)

    def crash_after(self, store: Store, statements: int) -> None:
        assert isinstance(store, PostgresStore)
        crash_after(store, statements)

    async def damage(self, store: Store, table: Table[Any, Any], key: Any) -> None:
        await damage(self._dsn, table, key)

    async def __aenter__(self) -> Self:
        self._dsn = await self._database.enter_async_context(fresh_database(migrated, self._version))
        return await super().__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, traceback)
        await self._database.aclose()
