"""Records that can't be understood: each is named, the others are looked at, and none is copied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from flowstate_server.store_urls import store_from_url
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import CopyRefused, check_store, copy_store
from flowstate_server.stores.transfer.check import UNREADABLE
from flowstate_server.stores.transfer.pages import ROWS
from tests.stores.damage import execute
from tests.support.filled_store import fill
from tests.support.store_urls import SHARED, NewStore, new_stores

SESSIONS = ROWS + 50
"""More than a page: the walk goes on behind a page with damage."""

DAMAGE = {
    "session": "UPDATE sessions SET metadata = {} WHERE log % 50 = 3",
    "request": "UPDATE requests SET scopes = {} WHERE request % 50 = 3",
    "event": "UPDATE events SET type = 99 WHERE sequence % 9 = 4",
}


@pytest.fixture
async def new_store(tmp_path: Path) -> AsyncIterator[NewStore]:
    async with new_stores(tmp_path) as make:
        yield make


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def opened(stack: AsyncExitStack, store: Store) -> Store:
    await store.open()
    stack.push_async_callback(store.close)
    return store


@pytest.mark.parametrize("damaged", DAMAGE)
@pytest.mark.parametrize("kind", SHARED)
async def test_each_damaged_row_is_named_and_none_is_copied(
    kind: str, damaged: str, new_store: NewStore, stack: AsyncExitStack
) -> None:
    url = await new_store(kind)
    store = await opened(stack, store_from_url(url))
    await fill(store, SESSIONS)
    count = await execute(url, DAMAGE[damaged])
    assert count > 1
    found = [problem async for problem in check_store(store)]
    named = {problem for problem in found if problem.endswith(UNREADABLE)}
    assert len(named) == count
    assert all(f"{damaged} " in problem for problem in named)
    with pytest.raises(CopyRefused, match=f"{damaged} .* can't be understood"):
        await copy_store(store, await opened(stack, MemoryStore()), name="source")


async def test_each_damaged_file_is_named(tmp_path: Path, new_store: NewStore, stack: AsyncExitStack) -> None:
    url = await new_store("file")
    store = store_from_url(url)
    await store.open()
    await fill(store, 10)
    await store.close()
    files = await asyncio.to_thread(lambda: sorted(tmp_path.glob("**/state.json"))[::3])
    assert len(files) > 1
    for file in files:
        await asyncio.to_thread(file.write_bytes, b"{")
    found = [problem async for problem in check_store(await opened(stack, store_from_url(url)))]
    assert len([problem for problem in found if problem.endswith(UNREADABLE)]) == len(files)
