"""Large states that are kept in parts: whatever is done to them, they read as what was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from flowstate_server.errors import FlowStateError
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import StateRecord
from flowstate_server.model.state_parts import LARGE_BYTES, MOST_PATCHES
from flowstate_server.state.operations import DeleteRecord, Increment, PutRecord, SetValue
from flowstate_server.stores.contract.writes import DeleteState
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import check_store, copy_store, differences
from flowstate_server.testing.store_contract import NotProvided, StoreHarness
from tests.stores.adapters import ADAPTERS
from tests.support.large_states import USER, Reference, entry, write

PERSISTENT = ["filesystem", "sqlite", "postgres"]
SHARED = ["sqlite", "postgres"]


@pytest.fixture
async def harness(adapter: str, tmp_path: Path) -> AsyncIterator[StoreHarness]:
    async with ADAPTERS[adapter](tmp_path) as harness:
        yield harness


async def stored(store: Store) -> StateRecord:
    return (await store.load_states([USER]))[USER]


async def filled(store: Store, seed: int = 0) -> Reference:
    expected = Reference(seed)
    await store.commit((write(*expected.whole),))
    return expected


async def step(store: Store, expected: Reference) -> None:
    await store.commit((write(*expected.step()),))


async def require(store: Store, expected: Reference) -> None:
    record = await stored(store)
    assert record.state == expected.state
    assert record.text == encode_json(expected.state)
    assert record.size == len(record.text)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_it_reads_as_it_was_written(harness: StoreHarness, adapter: str) -> None:
    store = await harness.open()
    expected = await filled(store)
    for number in range(MOST_PATCHES + 20 if adapter in SHARED else 30):  # the others keep no patches
        await step(store, expected)
        if number % 60 == 5:
            await require(store, expected)
    await require(store, expected)
    with suppress(NotProvided):
        await require(await harness.reopen(store), expected)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_no_increment_of_many_writers_is_lost(harness: StoreHarness) -> None:
    store = await harness.open()
    expected = await filled(store)

    async def increase(key: str) -> None:
        for _ in range(10):
            await store.commit((write(Increment(("numbers", key), 1)),))

    await asyncio.gather(*(increase(str(number % 4)) for number in range(20)))
    numbers = expected.state["numbers"]
    assert isinstance(numbers, dict)
    numbers |= {str(number): number + 50 for number in range(4)}
    await require(store, expected)
    assert (await stored(store)).version == 201


@pytest.mark.parametrize("adapter", SHARED)
async def test_two_stores_write_it_in_turn_and_at_once(harness: StoreHarness) -> None:
    one, other = await harness.open(), await harness.open()
    expected = await filled(one)
    for number in range(10):
        await step((one, other)[number % 2], expected)
    await require(other, expected)

    async def increase(store: Store) -> None:
        for _ in range(8):
            await store.commit((write(Increment(("entries", "shared", "count"), 1)),))

    await one.commit((write(PutRecord(("entries",), "shared", entry(0))),))
    await asyncio.gather(increase(one), increase(other), increase(one))
    record = await stored(one)
    assert isinstance(record.state["entries"], dict)
    assert record.state["entries"]["shared"] == {**entry(0), "count": 24}  # type: ignore[dict-item]


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_it_shrinks_grows_goes_and_comes_again(harness: StoreHarness) -> None:
    store = await harness.open()
    expected = await filled(store)
    await step(store, expected)
    await store.commit((write(SetValue(("entries",), {}), SetValue(("numbers",), {})),))
    assert (await stored(store)).size < LARGE_BYTES
    expected = await filled(store, seed=1)
    await step(store, expected)
    await store.commit((DeleteState(USER),))
    assert not (await stored(store)).exists
    expected = await filled(store, seed=2)
    for _ in range(3):
        await step(store, expected)
    await require(store, expected)
    await store.commit((DeleteState(USER),))
    assert [problem async for problem in check_store(store)] == []


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_a_refused_batch_of_its_group_leaves_no_trace(harness: StoreHarness) -> None:
    store = await harness.open()
    expected = await filled(store)
    refused = write(PutRecord(("entries",), "bad", {"count": "many"}))
    for _ in range(5):
        first, second = expected.step(), expected.step()
        answers = await asyncio.gather(
            store.commit((write(*first),)),
            store.commit((write(PutRecord(("entries",), "key 1", entry(5))), refused)),
            store.commit((write(*second),)),
            return_exceptions=True,
        )
        assert [isinstance(answer, Exception) for answer in answers] == [False, True, False]
        await require(store, expected)


@pytest.mark.parametrize("adapter", PERSISTENT)
@pytest.mark.parametrize("statements", [1, 3, 5])
async def test_who_dies_in_a_commit_leaves_it_whole_or_absent(harness: StoreHarness, statements: int) -> None:
    store = await harness.open()
    expected = await filled(store)
    for _ in range(3):
        await step(store, expected)
    harness.crash_after(store, statements)
    before = encode_json(expected.state)
    operations = expected.step()
    acknowledged = True
    try:
        await store.commit((write(*operations),))
    except FlowStateError:
        acknowledged = False
    store = await harness.reopen(store)
    text = (await stored(store)).text
    assert text in ((encode_json(expected.state),) if acknowledged else (before, encode_json(expected.state)))
    if text == before:
        await store.commit((write(*operations),))
    await step(store, expected)
    await require(store, expected)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_it_is_copied_and_compared(harness: StoreHarness) -> None:
    store = await harness.open()
    expected = await filled(store)
    for _ in range(5):
        await step(store, expected)
    target = MemoryStore()
    await target.open()
    await copy_store(store, target, name="copy")
    assert [problem async for problem in differences(store, target)] == []
    assert [problem async for problem in check_store(target)] == []
    await step(target, expected)
    await require(target, expected)
    assert [problem async for problem in differences(store, target)] != []
    await target.close()


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_what_was_handed_out_stays_as_it_was(harness: StoreHarness) -> None:
    store = await harness.open()
    expected = await filled(store)
    await step(store, expected)
    done = await store.commit((write(PutRecord(("entries",), "kept", entry(1))),))
    record = done.results[0].state
    assert record is not None
    await store.commit(
        (write(PutRecord(("entries",), "kept", entry(2)), DeleteRecord(("entries",), "key 3")),)
    )
    entries = record.state["entries"]
    assert isinstance(entries, dict)
    assert entries["kept"] == entry(1)
    assert replace(record, version=9).text == encode_json(record.state)
