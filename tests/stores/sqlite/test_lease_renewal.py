"""Leases renewed from a thread, beside the groups."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from flowstate_server.errors import LeaseLostError, StoreUnavailableError
from flowstate_server.model.clock import Micros
from flowstate_server.stores.contract.backend import LeaseRenewal
from flowstate_server.stores.contract.writes import FenceProcess
from flowstate_server.stores.sqlite import SqliteStore, connection
from flowstate_server.stores.sqlite.writer_queue import WriterQueue
from tests.stores.sqlite import batches
from tests.stores.sqlite.batches import LEASE, PROCESS


class Renewing:
    """A renewal and its thread."""

    def __init__(self, renewal: LeaseRenewal) -> None:
        self.thread = ThreadPoolExecutor(1)
        self.renewal = renewal

    async def renew(self, process: str = PROCESS) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, self.renewal.renew, process, LEASE)


@pytest.fixture
async def renewing(store: SqliteStore) -> AsyncIterator[Renewing]:
    await store.commit(batches.start_process())
    assert store.renewal is not None
    renewing = Renewing(store.renewal)
    yield renewing
    renewing.thread.submit(renewing.renewal.close).result()
    renewing.thread.shutdown()


async def renew_time(store: SqliteStore) -> int:
    [process] = await store.read_processes()
    return process.renew_time


async def test_a_loop_that_is_blocked_keeps_its_lease(store: SqliteStore, renewing: Renewing) -> None:
    before = await renew_time(store)
    renewed = renewing.thread.submit(renewing.renewal.renew, PROCESS, LEASE)
    renewed.result(timeout=10)  # which blocks the loop
    assert await renew_time(store) > before


async def test_a_group_judges_by_the_renewed_lease(store: SqliteStore, renewing: Renewing) -> None:
    """Also one that knew the row before."""
    seen = await renew_time(store)
    await renewing.renew()
    with pytest.raises(LeaseLostError):
        await store.commit((FenceProcess(PROCESS, Micros(seen), known_dead=True),))
    await store.commit((FenceProcess(PROCESS, Micros(await renew_time(store)), known_dead=True),))
    with pytest.raises(LeaseLostError):
        await renewing.renew()


async def test_it_queues_with_the_other_writers(store: SqliteStore, path: Path, renewing: Renewing) -> None:
    before = await renew_time(store)
    with closing(WriterQueue(path)) as queue:
        with queue:
            renewed = asyncio.create_task(renewing.renew())
            await asyncio.wait([renewed], timeout=0.05)
            assert not renewed.done()
            assert await renew_time(store) == before
        await renewed
    assert await renew_time(store) > before


async def test_while_it_can_not_write_it_is_unavailable_and_then_usable(
    store: SqliteStore, path: Path, renewing: Renewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        before = await renew_time(store)
        with pytest.raises(StoreUnavailableError):
            await renewing.renew()
        assert await renew_time(store) == before
        database.execute("ROLLBACK")
    await renewing.renew()
    assert await renew_time(store) > before


async def test_it_goes_on_beside_a_busy_store(store: SqliteStore, renewing: Renewing) -> None:
    stop = threading.Event()

    def renew() -> list[float]:
        waits = []
        while not stop.is_set():
            begin = time.perf_counter()
            renewing.renewal.renew(PROCESS, LEASE)
            waits.append(time.perf_counter() - begin)
        return waits

    renewals = renewing.thread.submit(renew)
    try:
        for _ in range(20):
            await asyncio.gather(*(store.commit(batches.add_one()) for _ in range(8)))
    finally:
        stop.set()
    waits = await asyncio.wrap_future(renewals)
    assert len(waits) > 10
    assert max(waits) < 1
