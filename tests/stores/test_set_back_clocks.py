"""The machine's clock is set back under a store that takes its time from it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from flowstate_server.errors import LeaseLostError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.identity import Tenant
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.writes import FenceProcess, RenewLease
from flowstate_server.stores.filesystem import FilesystemStore
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.sqlite import SqliteStore
from flowstate_server.stores.store import Store
from flowstate_server.testing.waiting import until
from tests.stores.sqlite import batches

HOUR = 3_600 * SECOND
REQUEST = RequestKey(Tenant("acme"), "req_1")
PERSISTENT = {"sqlite": SqliteStore, "filesystem": FilesystemStore}

Make = Callable[[], Store]


class Machine:
    """Its wall clock, which goes on when it was set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0
        real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: real() + self._ahead * 1_000)

    def set(self, by: int) -> None:
        self._ahead += by


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture(params=["memory", *PERSISTENT])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return MemoryStore
    return lambda: PERSISTENT[request.param](tmp_path / "store")


@pytest.fixture(params=PERSISTENT)
def make_persistent(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return lambda: PERSISTENT[request.param](tmp_path / "store")


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def event_times(store: Store) -> list[int]:
    page = await store.read_events(REQUEST, after=0, limit=100, max_bytes=1_000_000)
    assert page is not None
    return [event.time for event in page.events]


async def begin_run(store: Store) -> None:
    for batch in (batches.start_process(), batches.create_session(), batches.create_request(REQUEST)):
        await store.commit(batch)


async def test_nothing_runs_backwards(make: Make, machine: Machine) -> None:
    async with opened(make()) as store:
        await begin_run(store)
        before = await store.time()
        machine.set(-HOUR)
        await store.commit(batches.emit(REQUEST, batches.delta()))
        times = await event_times(store)
        assert times == sorted(times)
        assert before <= times[-1] <= await store.time() < before + 60 * SECOND
        projection = await store.read_projection(batches.SESSION, ())
        assert projection is not None
        assert projection.time >= before


async def test_a_lease_expires_in_its_time(make: Make, machine: Machine) -> None:
    async with opened(make()) as store:
        renewed = await store.commit((RenewLease("proc_1", Micros(SECOND // 20), start=True),))
        machine.set(-HOUR)

        async def fenced() -> bool:
            try:
                await store.commit((FenceProcess("proc_1", renewed.time),))
            except LeaseLostError:
                return False
            return True

        await until(fenced, 5.0)


async def test_an_opening_begins_with_the_newest_time_stored(make_persistent: Make, machine: Machine) -> None:
    async with opened(make_persistent()) as store:
        await begin_run(store)
        before = await store.time()
        await store.commit(batches.emit(REQUEST, batches.delta()))
    machine.set(-HOUR)
    async with opened(make_persistent()) as store:
        assert before <= await store.time() < before + 60 * SECOND


async def test_a_store_far_ahead_was_wrong(make_persistent: Make, machine: Machine) -> None:
    machine.set(48 * HOUR)
    async with opened(make_persistent()) as store:
        await begin_run(store)
        before = await store.time()
    machine.set(-48 * HOUR)
    async with opened(make_persistent()) as store:
        assert await store.time() < before - 47 * HOUR


async def test_processes_on_one_file_keep_one_time(tmp_path: Path, machine: Machine) -> None:
    """Only one of them has seen the clock while it was ahead."""
    path = tmp_path / "store"
    async with opened(SqliteStore(path)) as store, opened(SqliteStore(path)) as other:
        machine.set(HOUR)
        await store.commit(batches.start_process("proc_1"))
        machine.set(-HOUR)
        renewed = await other.commit(batches.start_process("proc_2"))
        with pytest.raises(LeaseLostError):
            await store.commit((FenceProcess("proc_2", renewed.time),))
