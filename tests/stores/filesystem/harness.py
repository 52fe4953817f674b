"""The filesystem store before the conformance suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.tables import REQUESTS, Table
from flowstate_server.stores.filesystem.kept import PATHS
from flowstate_server.stores.filesystem.store import FilesystemBackend, FilesystemStore
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract import StoreHarness
from tests.stores.filesystem.faults import FaultyFiles


class FilesystemHarness(StoreHarness):
    persistent = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder / "store"

    def make(self) -> Store:
        return FilesystemStore(self._folder, files=FaultyFiles())

    def crash_after(self, store: Store, statements: int) -> None:
        assert isinstance(store, FilesystemStore)
        assert isinstance(store.backend, FilesystemBackend)
        files = store.backend.files
        assert isinstance(files, FaultyFiles)
        files.crash_after(statements)

    async def damage(self, store: Store, table: Table[Any, Any], key: Any) -> None:
        request = await store.get_request(key) if table is REQUESTS else None
        path = self._folder / PATHS[table](
            key, lambda _: request.head.session if request else SessionKey(NO_TENANT, "")
        )
        if path.exists():
            path.write_text("{")
