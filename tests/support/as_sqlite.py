"""Any store's contents as an SQLite database, to be looked at with SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from flowstate_server.app import store_from_url
from flowstate_server.stores.sqlite.store import SqliteStore
from flowstate_server.stores.transfer import check_store, copy_store, differences
from tests.support.whole_database import opened


@asynccontextmanager
async def as_sqlite(url: str, folder: Path) -> AsyncIterator[sqlite3.Connection]:
    """A copy of the store, which nobody serves; it was checked, and the copy compared."""
    path = folder / "as-sqlite.db"
    store, copy = store_from_url(url), SqliteStore(path)
    await store.open()
    await copy.open()
    try:
        assert [problem async for problem in check_store(store)] == []
        await copy_store(store, copy, name=url)
        assert [difference async for difference in differences(store, copy)] == []
    finally:
        await copy.close()
        await store.close()
    with opened(path) as database:
        yield database
