"""Connections that die while the server is well: cut by an administrator, or silently by the network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from flowstate_client.testing import FaultProxy
from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.postgres import PostgresStore, commit_poller, connections
from flowstate_server.testing.waiting import soon, until
from tests.stores.sqlite import batches
from tests.support.postgres_server import connection, execute, fetch

U1 = user_scope("u1")
OTHERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)

WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


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


async def warm(store: PostgresStore) -> None:
    """Opens several connections of both kinds."""
    await store.commit(batches.add_one())
    await asyncio.gather(*(store.load_states([U1]) for _ in range(8)))


async def test_a_group_is_repeated_on_a_fresh_connection(store: PostgresStore, dsn: str) -> None:
    await warm(store)
    async with connection(dsn) as raw, raw.transaction():
        await raw.execute("SELECT * FROM flowstate.states FOR UPDATE")
        group = asyncio.create_task(store.commit(batches.add_one()))
        await until(lambda: _some(dsn, WAITING))
        await execute(dsn, WAITING.replace("pid", "pg_terminate_backend(pid, 5000)", 1))
    result = await soon(group)
    assert result.results[0].version == 2


async def _some(dsn: str, query: str) -> bool:
    return bool(await fetch(dsn, query))


async def test_a_batch_counts_once_whenever_its_connection_is_cut(store: PostgresStore, dsn: str) -> None:
    counted = 0
    answered = asyncio.Event()
    cutting = asyncio.create_task(_cut(dsn, 20, answered))
    while not cutting.done():
        try:
            await soon(store.commit(batches.add_one()))
        except StoreUnavailableError:  # cut twice
            counted = (await store.load_states([U1]))[U1].version
        else:
            counted += 1
        answered.set()
    await cutting
    await store.commit(batches.add_one())
    assert (await store.load_states([U1]))[U1].version == counted + 1


async def _cut(dsn: str, times: int, answered: asyncio.Event) -> None:
    for _ in range(times):
        answered.clear()
        await execute(dsn, OTHERS)
        await answered.wait()


async def test_silently_dead_connections_cost_a_group_no_more_than_a_begin(
    remote: PostgresStore, proxy: FaultProxy
) -> None:
    await warm(remote)
    proxy.stall(also_new=False)
    began = time.monotonic()
    result = await remote.commit(batches.add_one())
    assert result.results[0].version == 2
    assert time.monotonic() - began < connections.BEGIN_SECONDS + 2
    began = time.monotonic()
    await asyncio.gather(*(remote.load_states([U1]) for _ in range(8)))
    await asyncio.gather(*(remote.commit(batches.add_one(f"u{n}")) for n in range(8)))
    assert time.monotonic() - began < 2


async def test_one_read_finds_out_for_all(
    dsn: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STATEMENT_SECONDS", 1.0)
    store = PostgresStore(urlsplit(dsn)._replace(netloc=f"postgres@{proxy.target}").geturl())
    await store.open()
    await warm(store)
    proxy.stall(also_new=False)
    with pytest.raises(StoreUnavailableError):
        await store.load_states([U1])
    began = time.monotonic()
    await asyncio.gather(*(store.load_states([U1]) for _ in range(8)))
    await store.commit(batches.add_one())
    assert time.monotonic() - began < 1
    await store.close()


async def test_tables_that_are_away_for_a_while_are_unavailable(
    store: PostgresStore, dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    await warm(store)
    for away, back in (
        ("ALTER SCHEMA flowstate RENAME TO away", "ALTER SCHEMA away RENAME TO flowstate"),
        ("ALTER TABLE flowstate.states RENAME TO away", "ALTER TABLE flowstate.away RENAME TO states"),
    ):
        await execute(dsn, away)
        for call in (store.commit(batches.add_one()), store.load_states([U1])):
            with pytest.raises(StoreUnavailableError):
                await call
        await execute(dsn, back)
        await warm(store)
    assert "Postgres failed: UndefinedTableError" in caplog.text


async def test_a_store_closes_in_bounded_time_while_its_connections_are_silently_dead(
    dsn: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it looks for commits: a look that is cancelled may fail instead."""
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(connections, "CLOSE_SECONDS", 1.0)
    monkeypatch.setattr(commit_poller, "INTERVAL", 0.01)
    store = PostgresStore(urlsplit(dsn)._replace(netloc=f"postgres@{proxy.target}").geturl())
    await store.open()
    await warm(store)
    proxy.stall(also_new=False)
    await asyncio.sleep(0.1)
    await soon(store.close(), 10)
