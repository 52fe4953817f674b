"""Every check of the conformance suite on every adapter."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from flowstate_server.stores.contract.store import Store
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.testing.store_contract import Check, NotProvided, StoreHarness, all_checks


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


ADAPTERS: dict[str, Callable[[Path], StoreHarness]] = {
    "memory": lambda _: MemoryHarness(),
    "sqlite": SqliteHarness,
}
if (
    find_spec("flowstate_server.stores.sqlite") is None
    or find_spec("flowstate_server.stores.sqlite.store") is None
):
    del ADAPTERS["sqlite"]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.__name__.removeprefix("check_"))
async def test_store_keeps_the_contract(check: Check, adapter: str, tmp_path: Path) -> None:
    async with ADAPTERS[adapter](tmp_path) as harness:
        try:
            await check(harness)
        except NotProvided as reason:
            pytest.skip(str(reason))
