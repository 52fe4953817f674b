"""Leases renewed from a thread: whatever happens to its connection, and to the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from flowstate_client.testing import FaultProxy
from flowstate_server.errors import LeaseLostError, StoreUnavailableError
from flowstate_server.model.clock import Micros
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.writes import Changed, ChangeState, FenceProcess, RenewLease
from flowstate_server.stores.postgres import PostgresStore, connections, lease_renewal
from flowstate_server.testing.store_contract.renewal import process_of, renewing
from flowstate_server.testing.waiting import soon, until
from tests.stores.sqlite import batches
from tests.support.postgres_server import connection, execute, fetch

PROCESS, LEASE = batches.PROCESS, batches.LEASE
OWN = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' ORDER BY query_start"
OTHERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(f"127.0.0.1:{urlsplit(dsn).port}") as proxy:
        yield proxy


@pytest.fixture
async def remote(dsn: str, proxy: FaultProxy) -> AsyncIterator[PostgresStore]:
    """A store behind the proxy."""
    store = PostgresStore(urlsplit(dsn)._replace(netloc=f"postgres@{proxy.target}").geturl())
    await store.open()
    yield store
    await store.close()


async def test_one_connection_is_kept(store: PostgresStore, dsn: str) -> None:
    await store.commit(batches.start_process())
    async with renewing(store) as renew:
        used = set()
        for _ in range(5):
            await renew(PROCESS, Micros(LEASE))
            used.add((await fetch(dsn, f"{OWN} DESC LIMIT 1"))[0][0])
        assert len(used) == 1
    left = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {used.pop()}"
    await until(lambda: _none(dsn, left))


async def _none(dsn: str, query: str) -> bool:
    return await fetch(dsn, query) == [(0,)]


async def test_a_connection_that_was_cut_is_made_again(store: PostgresStore, dsn: str) -> None:
    await store.commit(batches.start_process())
    async with renewing(store) as renew:
        for _ in range(3):
            before = (await process_of(store)).renew_time
            await renew(PROCESS, Micros(LEASE))
            assert (await process_of(store)).renew_time > before
            await execute(dsn, OTHERS)
        await renew(PROCESS, Micros(LEASE))


async def test_a_silently_dead_connection_costs_no_lease(remote: PostgresStore, proxy: FaultProxy) -> None:
    await remote.commit(batches.start_process())
    async with renewing(remote) as renew:
        await renew(PROCESS, Micros(LEASE))
        proxy.stall(also_new=False)
        began = time.monotonic()
        await renew(PROCESS, Micros(LEASE))
        assert time.monotonic() - began < lease_renewal.FOUND_SECONDS + 2


async def test_a_server_that_hangs_is_unavailable_in_bounded_time(
    remote: PostgresStore, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_renewal, "RENEW_SECONDS", 0.5)
    monkeypatch.setattr(lease_renewal, "FOUND_SECONDS", 0.2)
    await remote.commit(batches.start_process())
    async with renewing(remote) as renew:
        await renew(PROCESS, Micros(LEASE))
        proxy.stall()
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await soon(renew(PROCESS, Micros(LEASE)), 3)
        proxy.heal()
        proxy.cut()
        await renew(PROCESS, Micros(LEASE))


async def test_a_row_that_is_locked_for_long_leaves_the_lease_as_it_was(
    store: PostgresStore, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_renewal, "RENEW_SECONDS", 0.5)
    await store.commit(batches.start_process())
    before = await process_of(store)
    async with renewing(store) as renew:
        async with connection(dsn) as raw, raw.transaction():
            await raw.execute("SELECT FROM flowstate.processes FOR UPDATE")
            with pytest.raises(StoreUnavailableError):
                await soon(renew(PROCESS, Micros(LEASE)), 3)
        assert await process_of(store) == before
        await renew(PROCESS, Micros(LEASE))
        assert (await process_of(store)).renew_time > before.renew_time


async def test_a_fence_that_is_being_set_is_met(store: PostgresStore, dsn: str) -> None:
    await store.commit(batches.start_process())
    async with renewing(store) as renew:
        async with connection(dsn) as raw, raw.transaction():
            await raw.execute("UPDATE flowstate.processes SET fenced = true")
            renewal = renew(PROCESS, Micros(LEASE))
            await asyncio.sleep(0.1)
        with pytest.raises(LeaseLostError):
            await renewal
        process = await process_of(store)
        await store.commit((FenceProcess(PROCESS, process.renew_time),))


async def test_a_loop_that_is_blocked_in_the_middle_of_a_group_keeps_its_lease(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group holds the row of its process until Postgres ends it; then it is decided again."""
    monkeypatch.setitem(connections._BOUNDS, "idle_in_transaction_session_timeout", "300ms")
    store = PostgresStore(dsn)
    await store.open()
    await store.commit(batches.start_process())
    assert store.renewal is not None
    with ThreadPoolExecutor(1) as thread:
        renewals: list[Future[None]] = []

        def block(record: StateRecord) -> Changed:
            if not renewals:
                renewals.append(thread.submit(store.renewal.renew, PROCESS, LEASE))  # type: ignore[union-attr]
                renewals[0].result(lease_renewal.RENEW_SECONDS)
            return batches.increment(record)

        blocked = await store.commit(
            (RenewLease(PROCESS, Micros(LEASE)), ChangeState(user_scope("u1"), block))
        )
        assert blocked.results[1].version == 1
        assert len(renewals) == 1
        thread.submit(store.renewal.close)
    await store.close()
