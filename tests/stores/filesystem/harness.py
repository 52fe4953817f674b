"""The filesystem store before the conformance suite."""

from __future__ import annotations

from pathlib import Path

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
