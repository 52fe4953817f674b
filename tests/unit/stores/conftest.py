"""A committer on a storage that fails on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flowstate_server.stores.commit import GroupCommitter, group_committer
from flowstate_server.stores.contract.watch import WatchHub
from tests.unit.stores.fake_storage import FakeStorage


@pytest.fixture
def storage() -> FakeStorage:
    return FakeStorage()


@pytest.fixture
async def committer(storage: FakeStorage) -> AsyncIterator[GroupCommitter]:
    committer = GroupCommitter(storage, WatchHub())
    committer.start()
    yield committer
    await committer.close()


@pytest.fixture(autouse=True)
def no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_committer, "BACK_OFF_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that pauses a group is cut short, which is tried where it is meant."""
    monkeypatch.setattr(group_committer, "GROUP_SECONDS", 60.0)
