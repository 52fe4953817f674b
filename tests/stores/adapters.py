"""The adapters that the conformance suite is crossed with, each by its harness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowstate_server.stores.contract.tables import Table
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract import StoreHarness


class MemoryHarness(StoreHarness):
    def make(self) -> Store:
        return MemoryStore()


class SqliteHarness(StoreHarness):
    persistent = True
    shared = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._path = folder / "store.db"

    def make(self) -> Store:
        from flowstate_server.stores.sqlite.store import SqliteStore

        return SqliteStore(self._path)

    def crash_after(self, store: Store, statements: int) -> None:
        from flowstate_server.stores.sqlite.store import SqliteStore
        from tests.stores.sqlite.crash import crash_after

        assert isinstance(store, SqliteStore)
        crash_after(store, statements)

    async def damage(self, store: Store, table: Table[Any, Any], key: Any) -> None:
        from tests.stores.damage import damage

        await damage(f"sqlite:///{self._path}", table, key)


def _filesystem(folder: Path) -> StoreHarness:
    from tests.stores.filesystem.harness import FilesystemHarness

    return FilesystemHarness(folder)


def _postgres(_: Path) -> StoreHarness:
    from tests.stores.postgres.harness import PostgresHarness

    return PostgresHarness()


ADAPTERS: dict[str, Callable[[Path], StoreHarness]] = {
    "memory": lambda _: MemoryHarness(),
    "filesystem": _filesystem,
    "sqlite": SqliteHarness,
    "postgres": _postgres,
}
