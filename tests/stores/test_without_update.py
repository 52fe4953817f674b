"""A store of an older release is looked at, and stays as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flowstate_server.errors import StoreOpenError
from flowstate_server.model.scopes import user_scope
from flowstate_server.store_urls import store_from_url
from flowstate_server.stores.filesystem import folder
from flowstate_server.stores.store import Store
from flowstate_server.stores.tables import migrations
from flowstate_server.testing.store_contract.builders import increment, state_of
from tests.support.store_urls import SHARED, NewStore, new_stores

ADDED = {
    "flowstate_server.stores.sqlite": "CREATE TABLE added (number INTEGER) STRICT;",
    "flowstate_server.stores.postgres": "CREATE TABLE flowstate.added (number integer);",
}


@pytest.fixture
async def new_store(tmp_path: Path) -> AsyncIterator[NewStore]:
    async with new_stores(tmp_path) as make:
        yield make


async def filled(url: str) -> None:
    store = store_from_url(url)
    await store.open()
    await store.commit((increment(user_scope("ada")),))
    await store.close()


async def opened(url: str, *, update: bool) -> Store:
    store = store_from_url(url, create=False, update=update)
    await store.open()
    return store


@pytest.mark.parametrize("kind", SHARED)
async def test_what_is_wanted_newer_is_not_made(
    kind: str, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await new_store(kind)
    await filled(url)
    before = migrations.migrations_of
    monkeypatch.setattr(migrations, "migrations_of", lambda package: [*before(package), ADDED[package]])
    store = await opened(url, update=False)
    assert (await state_of(store, user_scope("ada"))).version == 1
    await store.close()
    monkeypatch.setattr(migrations, "migrations_of", before)
    await (await opened(url, update=True)).close()  # it would be too new by now
    monkeypatch.setattr(migrations, "migrations_of", lambda package: [*before(package), ADDED[package]])
    await (await opened(url, update=True)).close()
    monkeypatch.setattr(migrations, "migrations_of", before)
    with pytest.raises(StoreOpenError, match="upgrade FlowState"):
        await opened(url, update=False)


@pytest.mark.parametrize("kind", SHARED)
async def test_nothing_is_made_where_there_is_nothing(kind: str, new_store: NewStore) -> None:
    with pytest.raises(StoreOpenError, match="there is no store at"):
        await opened(await new_store(kind), update=False)


async def test_a_folder_is_refused(new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await new_store("file")
    await filled(url)
    await (await opened(url, update=False)).close()
    monkeypatch.setattr(folder, "MIGRATIONS", (*folder.MIGRATIONS, lambda path, files: None))
    with pytest.raises(StoreOpenError, match="is of an older release: migrate it first"):
        await opened(url, update=False)
    await (await opened(url, update=True)).close()
