"""Copies and checks of stores from which something was deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from flowstate_server.errors import RequestNotFoundError, SessionNotFoundError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import TurnKey
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.deletion_writes import DeleteSession, RemoveHistory
from flowstate_server.stores.memory.store import MemoryStore
from flowstate_server.stores.sqlite import SqliteStore
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import check_store, copy_store
from flowstate_server.testing.store_contract.builders import (
    events_of,
    item_done,
    new_request,
    new_session,
    note,
    open_scene,
)

LIVING, DELETED, ANEW = (SessionKey(NO_TENANT, name) for name in ("living", "deleted", "anew"))
HOUR = Micros(3600 * SECOND)


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[Store]:
    """A session that has lost its first turn, one that is half emptied, and one that was made anew."""
    store = SqliteStore(tmp_path / "source.db")
    await store.open()
    for session in (LIVING, DELETED, ANEW):
        for number in range(3):
            scene = await open_scene(store, session.session_id, f"{session.session_id}-{number}")
            await scene.append(note(), item_done(f"item {number}"))
            await scene.finish()
    first = RequestKey(NO_TENANT, "living-0")
    await store.commit(
        (RemoveHistory(LIVING, "log-living", 0, 3, (first,), (TurnKey(LIVING, "log-living", 1),)),)
    )
    await store.commit((DeleteSession(DELETED),))
    await store.sweep_sessions(retention=HOUR, limit=4)
    await store.commit((DeleteSession(ANEW),))
    await store.commit((replace(new_session("anew"), log_id="second", exclusive=True),))
    yield store
    await store.close()


async def _everything_holds(store: Store) -> None:
    assert [problem async for problem in check_store(store)] == []
    assert [event.session_sequence for event in await events_of(store, LIVING)] == [4, 5, 6, 7, 8, 9]
    assert len(await store.read_turns(LIVING, "log-living", newest=9)) == 2
    for request_id in ("living-0", "deleted-0", "deleted-2"):
        assert await store.get_request(RequestKey(NO_TENANT, request_id)) is None
        with pytest.raises(RequestNotFoundError):
            await store.commit((new_request(LIVING, request_id),))
    with pytest.raises(SessionNotFoundError):
        await store.commit((new_session("deleted"),))
    assert await events_of(store, ANEW) == []


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_is_gone_is_gone_in_a_copy(source: Store, kind: str, tmp_path: Path) -> None:
    target = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "target.db")
    async with AsyncExitStack() as stack:
        await target.open()
        stack.push_async_callback(target.close)
        await _everything_holds(source)
        await copy_store(source, target, name="source")
        await _everything_holds(target)
        for store in (source, target):
            while await store.sweep_sessions(retention=Micros(0), limit=100):
                pass
            assert [problem async for problem in check_store(store)] == []
            assert await store.get_session(DELETED) is None
            assert (await store.commit((new_request(LIVING, "deleted-2"),))).attached is None
