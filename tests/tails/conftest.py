"""Tails run on every store that the product serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from flowstate_server.app import store_from_url
from flowstate_server.stores.store import Store
from tests.support.store_urls import ALL, SHARED, NewStore, new_stores


@pytest.fixture(autouse=True)
async def new_store(tmp_path: Path) -> AsyncIterator[NewStore]:
    async with new_stores(tmp_path) as make:
        yield make


@pytest.fixture(params=ALL)
async def store(request: pytest.FixtureRequest, new_store: NewStore) -> Store:
    return store_from_url(await new_store(request.param))


@pytest.fixture(params=SHARED)
async def open_file(request: pytest.FixtureRequest, new_store: NewStore) -> Callable[[], Store]:
    """Makes stores on one and the same data, as several servers or a restarted one have them."""
    url = await new_store(request.param)
    return lambda: store_from_url(url)
