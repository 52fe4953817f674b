"""A store that a copy was begun in, and not finished, is not served; and no copy goes on where a server is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from flowstate_server.app import create_flowstate, store_from_url
from flowstate_server.engine.engine import Engine
from flowstate_server.errors import StoreOpenError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.records import ProcessRecord
from flowstate_server.stores.contract.backend import Ports
from flowstate_server.stores.contract.writes import RenewLease
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.memory.store import MemoryBackend
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import Copied, CopyRefused, check_store, copy_store, differences
from flowstate_server.stores.transfer.copy import STAGES, _decode, _places
from flowstate_server.testing.server_process import ServerProcess, server_process
from tests.support.filled_store import PROCESS, fill
from tests.support.flows import APP
from tests.support.store_urls import DURABLE, new_store_url

SESSIONS = 12
REFUSED = (
    "holds an unfinished copy; finish it with 'flowstate store copy FROM TO', or begin with an empty store"
)


class Interrupted(Exception):
    pass


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def source() -> AsyncIterator[MemoryStore]:
    store = MemoryStore()
    async with opened(store):
        await fill(store, SESSIONS)
        await store.commit((RenewLease(PROCESS, Micros(1)),))  # whoever filled it has gone
        yield store


def engine_on(store: Store) -> Engine:
    return create_flowstate(flows=[]).engine(store)


async def copied_on(source: MemoryStore, target: Store, batches: int) -> int:
    """Copy so many batches more; the stage it was interrupted in, or the number of stages."""
    left = iter(range(batches - 1))

    def interrupt(_: Copied) -> None:
        if next(left, None) is None:
            raise Interrupted

    with suppress(Interrupted):
        await copy_store(source, target, name="source", report=interrupt)
    (place,) = await _places(target)
    return int(_decode(place)["stage"])


async def whole(source: MemoryStore, target: Store) -> None:
    assert [one async for one in differences(source, target)] == []
    assert [one async for one in check_store(target)] == []


@pytest.mark.parametrize("kind", DURABLE)
async def test_a_copy_interrupted_in_any_stage_is_not_served(
    kind: str, source: MemoryStore, tmp_path: Path
) -> None:
    stages: list[int] = []
    async with new_store_url(kind, tmp_path) as url:
        while True:
            async with opened(store_from_url(url)) as target:
                stages.append(await copied_on(source, target, 1))
            if stages[-1] == len(STAGES):
                break
            with pytest.raises(StoreOpenError, match=REFUSED):
                await engine_on(store_from_url(url)).open()
        assert [*dict.fromkeys(stages)] == [*range(len(STAGES) + 1)]
        async with opened(store_from_url(url)) as target:
            await whole(source, target)
        engine = engine_on(store_from_url(url))
        await engine.open()
        await engine.close()


@pytest.mark.parametrize("kind", DURABLE)
async def test_a_server_process_says_so_and_ends(kind: str, source: MemoryStore, tmp_path: Path) -> None:
    async with new_store_url(kind, tmp_path) as url:
        async with opened(store_from_url(url)) as target:
            await copied_on(source, target, 4)
        server = ServerProcess(APP, store=url)
        with pytest.raises(AssertionError, match="ended without saying 'listening'"):
            await server.start()
        assert server.process.wait(10) == 2
        assert [line for line in server.log.splitlines() if REFUSED in line] == [server.log.splitlines()[-1]]
        server.close()
        async with opened(store_from_url(url)) as target:
            await copy_store(source, target, name="source")
            await whole(source, target)
        async with server_process(APP, store=url) as serving:
            assert await serving.terminate() == 0


class Unexported(MemoryBackend):
    async def open(self) -> Ports:
        return replace(await super().open(), exports=None)


async def test_a_store_that_does_not_export_is_served() -> None:
    store = Store(Unexported())
    engine = engine_on(store)
    await engine.open()
    await engine.close()


async def test_a_server_and_a_copy_that_begin_at_once(source: MemoryStore) -> None:
    """The copy is begun when the server has looked for one, and before it has its lease."""
    target = MemoryStore()
    async with opened(target):
        engine = engine_on(target)
        take_lease = engine.supervisor.open

        async def late() -> None:
            await copied_on(source, target, 4)
            await take_lease()

        engine.supervisor.open = late  # type: ignore[method-assign]
        with pytest.raises(StoreOpenError, match=REFUSED):
            await engine.open()
    async with opened(target):
        await copy_store(source, target, name="source")
        await whole(source, target)


async def test_a_copy_refuses_a_target_that_is_served(source: MemoryStore) -> None:
    target = MemoryStore()
    engine = engine_on(target)
    await engine.open()
    with pytest.raises(CopyRefused, match=f"the server {engine.instance_id} uses the target, stop it"):
        await copy_store(source, target, name="source")
    assert await _places(target) == [], "the server may be started again"
    await engine.close()
    async with opened(target):
        await copy_store(source, target, name="source")
        await whole(source, target)


@pytest.mark.parametrize("last", ["sessions", "documents"])
async def test_a_copy_stops_when_a_server_turns_up(source: MemoryStore, last: str) -> None:
    """One that was silent when the copy began, as a machine that slept: it takes its lease without looking."""
    backend = MemoryBackend()
    target = Store(backend)
    async with opened(target):
        awake = ProcessRecord("proc_awake", Micros(60 * SECOND), await target.time())
        counts: dict[str, int] = {}

        def turn_up(copied: Copied) -> None:
            if last in copied.counts:
                backend.tables.processes[awake.process] = awake
            counts.update(copied.counts)

        with pytest.raises(CopyRefused, match="the server proc_awake uses the target, stop it"):
            await copy_store(source, target, name="source", report=turn_up)
        assert [*counts][-1] == last, "noticed at the end of the stage"
        (place,) = await _places(target)
        assert _decode(place)["stage"] < len(STAGES), "not even the last stage ends it"


async def test_half_a_copy_is_not_copied(source: MemoryStore) -> None:
    half, target = MemoryStore(), MemoryStore()
    async with opened(half), opened(target):
        await copied_on(source, half, 4)
        with pytest.raises(CopyRefused, match="the source holds an unfinished copy"):
            await copy_store(half, target, name="half")
        assert await _places(target) == []


async def test_a_lease_that_the_source_had_is_no_server_of_the_target(source: MemoryStore) -> None:
    await source.commit((RenewLease(PROCESS, Micros(60 * SECOND)),))
    target = MemoryStore()
    async with opened(target):
        await copied_on(source, target, 4)
        await copy_store(source, target, name="source")
        await whole(source, target)


@pytest.mark.parametrize("last", ["processes", "sessions", "events", "documents"])
async def test_a23_a_copy_stops_when_a_server_begins_to_use_its_source(
    source: MemoryStore, last: str
) -> None:
    target = MemoryStore()
    async with opened(target):
        server = RenewLease("proc_awake", Micros(60 * SECOND), start=True)
        turned_up: list[asyncio.Task[object]] = []

        def report(copied: Copied) -> None:
            if last in copied.counts and not turned_up:
                turned_up.append(asyncio.create_task(source.commit((server,))))

        with pytest.raises(CopyRefused, match="the server proc_awake has begun to use the source, stop it"):
            await copy_store(source, target, name="source", report=report)
        await source.commit((RenewLease("proc_awake", Micros(1)),))
        await asyncio.sleep(0.01)  # its lease is over
        await copy_store(source, target, name="source")
        assert [difference async for difference in differences(source, target)] == []
