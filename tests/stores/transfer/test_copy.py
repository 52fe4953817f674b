"""Copying between stores: whole, resumable, verified."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from itertools import count, permutations
from pathlib import Path

import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.recorded_flows import (
    RecordedFlow,
    declarations_range,
    encode_served,
    served_key,
)
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.document_writes import PutDocument
from flowstate_server.stores.contract.writes import Batch, CommitResult, PutIdempotencyKey
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.memory.store import MemoryBackend
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import Copied, CopyRefused, check_store, copy_store, differences
from flowstate_server.testing.store_contract.builders import increment, state_of
from flowstate_server.testing.waiting import soon
from tests.stores.adapters import ADAPTERS
from tests.support.filled_store import PROCESS, WINDOW, fill

SESSIONS = 200
MANY_SESSIONS = 10_000
DURABLE = sorted(ADAPTERS.keys() - {"memory"})
PAIRS = [
    *permutations(DURABLE, 2),
    *((name, name) for name in DURABLE),
    ("memory", "sqlite"),
    ("sqlite", "memory"),
]


class Interrupted(Exception):
    pass


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def _open(stack: AsyncExitStack, name: str, folder: Path) -> Store:
    folder.mkdir()  # noqa: ASYNC240
    harness = await stack.enter_async_context(ADAPTERS[name](folder))
    return await harness.open()


async def copied_piecemeal(source: Store, target: Store) -> Copied:
    """A copy that is interrupted after one batch, then after two, and so on, and begun anew each time."""
    for most in count(1):
        batches = iter(range(most))

        def interrupt(_: Copied, batches: Iterator[int] = batches) -> None:
            if next(batches, None) is None:
                raise Interrupted

        with suppress(Interrupted):
            return await copy_store(source, target, name="source", report=interrupt)
    raise AssertionError("a copy gets on")


@pytest.mark.parametrize(
    ("source_name", "target_name", "sessions"),
    [
        *((source, target, SESSIONS) for source, target in PAIRS),
        *(
            pytest.param(source, target, MANY_SESSIONS, marks=pytest.mark.soak)
            for source, target in permutations(DURABLE, 2)
        ),
    ],
)
async def test_a_copy_that_was_interrupted_again_and_again_is_equal(
    source_name: str, target_name: str, sessions: int, tmp_path: Path, opened: AsyncExitStack
) -> None:
    source = await _open(opened, source_name, tmp_path / "from")
    target = await _open(opened, target_name, tmp_path / "to")
    await fill(source, sessions)
    done = await copied_piecemeal(source, target)
    assert done.done
    assert done.counts["sessions"] == sessions
    assert [difference async for difference in differences(source, target)] == []
    assert [problem async for problem in check_store(target)] == []
    assert [problem async for problem in check_store(source)] == []
    await _serves(target)
    again = await copy_store(source, target, name="source")
    assert again.counts == done.counts, "a finished copy is not begun again"


async def _serves(store: Store) -> None:
    """It goes on where the source was: versions, leases, remembered keys, sweeps."""
    before = await state_of(store, user_scope("gone"))
    await store.commit((increment(user_scope("gone")),))
    assert (await state_of(store, user_scope("gone"))).version == before.version + 1
    repeat = IdempotencyKey(NO_TENANT, "p", "CreateSession", "key-0")
    replay = await store.commit((PutIdempotencyKey(repeat, "print", Micros(WINDOW)),))
    assert replay.replayed
    assert await store.read_running(PROCESS, limit=1_000)
    swept = 0
    while gone := await store.sweep_transient_events(retention=Micros(-WINDOW), limit=100):
        swept += gone
    assert swept


async def test_a_target_with_something_else_in_it_is_refused(tmp_path: Path, opened: AsyncExitStack) -> None:
    source, target = MemoryStore(), MemoryStore()
    for store in (source, target):
        await store.open()
        opened.push_async_callback(store.close)
    await fill(source, 3)
    await target.commit((increment(user_scope("somebody")),))
    with pytest.raises(CopyRefused, match="the target is not empty"):
        await copy_store(source, target, name="source")
    assert (await state_of(target, user_scope("somebody"))).version == 1


async def test_what_servers_record_of_their_flows_is_not_copied_and_in_no_copys_way(
    opened: AsyncExitStack,
) -> None:
    source, target = MemoryStore(), MemoryStore()
    flows = [RecordedFlow("chat", "a1"), RecordedFlow("admin", "b2")]
    for store, flow in zip((source, target), flows, strict=True):
        await store.open()
        opened.push_async_callback(store.close)
        await store.commit(
            (PutDocument(flow.key, b"{}"), PutDocument(served_key("p"), encode_served([flow])))
        )
    await fill(source, 3)
    assert (await copy_store(source, target, name="source")).done
    assert [difference async for difference in differences(source, target)] == []
    assert [one.key for one in await target.read_documents(declarations_range(limit=9))] == [flows[1].key]


class Held(Store):
    """Its third commit waits until it is let through."""

    def __init__(self, backend: MemoryBackend) -> None:
        super().__init__(backend)
        self.held = asyncio.Event()
        self.let_through = asyncio.Event()
        self._commits = 0

    async def commit(self, batch: Batch) -> CommitResult:
        self._commits += 1
        if self._commits == 3:
            self.held.set()
            await self.let_through.wait()
        return await super().commit(batch)


async def test_two_copies_at_once_are_refused(opened: AsyncExitStack) -> None:
    source, backend = MemoryStore(), MemoryBackend()
    held, target = Held(backend), Store(backend)
    for store in (source, held, target):
        await store.open()
        opened.push_async_callback(store.close)
    await fill(source, 30)
    first = asyncio.create_task(copy_store(source, held, name="source"))
    await soon(held.held.wait())
    assert (await copy_store(source, target, name="source")).done
    held.let_through.set()
    with pytest.raises(CopyRefused, match="another copy is writing"):
        await first
    assert [difference async for difference in differences(source, target)] == []


async def test_differences_are_named_without_values(opened: AsyncExitStack) -> None:
    source, target = MemoryStore(), MemoryStore()
    for store in (source, target):
        await store.open()
        opened.push_async_callback(store.close)
    await fill(source, 10)
    await copy_store(source, target, name="source")
    await source.commit((increment(user_scope("gone"), "canary"),))
    await target.commit((increment(user_scope("only there")),))
    found = [difference async for difference in differences(source, target)]
    assert found == ['state user/""/gone/""', 'state user/""/only there/"" is missing in the first']
