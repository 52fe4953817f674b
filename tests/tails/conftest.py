"""Tails run on every store that the product serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flowstate_server.stores.contract.store import Store
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.sqlite.store import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "tails.db")


@pytest.fixture
def open_file(tmp_path: Path) -> Callable[[], Store]:
    """Makes stores on one and the same file, as several servers or a restarted one have them."""
    return lambda: SqliteStore(tmp_path / "shared.db")
