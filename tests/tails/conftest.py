"""Tails run on every store that the product serves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from flowstate_server.app import store_from_url
from flowstate_server.stores.contract.store import Store
from tests.support.store_urls import ALL, SHARED, new_store_url


@pytest.fixture(params=ALL)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with new_store_url(request.param, tmp_path) as url:
        yield store_from_url(url)


@pytest.fixture(params=SHARED)
async def open_file(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Store]]:
    """Makes stores on one and the same data, as several servers or a restarted one have them."""
    async with new_store_url(request.param, tmp_path) as url:
        yield lambda: store_from_url(url)
