"""Failovers: an old primary is not written to, and what was lost with it is not taken for there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.postgres import PostgresStore, nodes
from flowstate_server.stores.postgres.nodes import Node, NodeRefusedError, Nodes
from flowstate_server.testing.waiting import soon, until
from tests.stores.sqlite import batches
from tests.support.postgres_server import PostgresServer, execute, fetch

U1 = user_scope("u1")
U2 = Topic(TopicKind.USER, NO_TENANT, "u2")


async def added(store: PostgresStore) -> int:
    return (await store.commit(batches.add_one())).results[-1].version


async def served(store: PostgresStore) -> bool:
    try:
        await added(store)
    except StoreUnavailableError:
        return False
    return True


async def refused(store: PostgresStore) -> bool:
    return not await served(store)


def url_of(*servers: PostgresServer, options: str = "") -> str:
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://postgres@{hosts}/postgres{options}"


@pytest.fixture
def old(server: PostgresServer) -> PostgresServer:
    return server


@pytest.fixture
def new(old: PostgresServer) -> Iterator[PostgresServer]:
    """The primary after a failover, of a time at which the database was empty."""
    with old.copy() as copy:
        yield copy


@pytest.mark.parametrize("order", ["old first", "new first"])
async def test_a16_an_old_primary_that_is_back_is_not_written_to(
    old: PostgresServer, new: PostgresServer, order: str, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(old.stop)
    store = PostgresStore(url_of(*((old, new) if order == "old first" else (new, old))))
    await store.open()
    assert await added(store) == 1
    await asyncio.to_thread(old.start)
    await execute(
        new.dsn(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
    )
    await until(lambda: served(store), 10.0)
    await asyncio.to_thread(new.stop)
    for _ in range(5):
        assert not await served(store)
        with pytest.raises(StoreUnavailableError):
            await store.load_states([U1])
    assert f"127.0.0.1:{old.port}: this node is at timeline 1 of system" in caplog.text
    await asyncio.to_thread(new.start)
    await until(lambda: served(store), 10.0)
    await store.close()
    assert await fetch(old.dsn(), "SELECT to_regclass('flowstate.states')::text") == [(None,)]


async def test_a16_a_lease_is_not_renewed_on_an_old_primary(old: PostgresServer, new: PostgresServer) -> None:
    store = PostgresStore(url_of(new, old))
    await store.open()
    await asyncio.to_thread(new.stop)
    renewal = store.renewal
    assert renewal is not None
    with pytest.raises(StoreUnavailableError):
        await asyncio.to_thread(renewal.renew, "process", batches.LEASE)
    await asyncio.to_thread(renewal.close)
    await store.close()


def test_a16_nodes_are_compared_by_system_then_timeline() -> None:
    seen = Nodes()
    for node in (Node(7, 2), Node(7, 2), Node(7, 3), Node(8, 1)):
        seen.see(node)
    assert seen.failovers == 2
    for node in (Node(7, 3), Node(7, 4), Node(8, 0)):
        with pytest.raises(NodeRefusedError):
            seen.see(node)
    seen.see(Node(8, 1))
    assert seen.failovers == 2


async def test_a16_a_standby_is_passed_over(old: PostgresServer) -> None:
    with old.copy(promoted=False) as standby:
        store = PostgresStore(url_of(standby, old))
        await store.open()
        assert await added(store) == 1
        await store.close()


@pytest.fixture
async def switched(dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that says of itself which node it is: a pooler's, behind which no connection breaks."""
    await execute(dsn, "CREATE TABLE node AS SELECT 5 AS timeline")
    monkeypatch.setattr(nodes, "NODE", "SELECT 7::bigint, timeline FROM node")
    return dsn


async def test_a16_behind_a_pooler_an_old_primary_is_found_by_looking(switched: str) -> None:
    store = PostgresStore(switched, serverless=True)
    await store.open()
    assert await added(store) == 1
    for timeline in (4, nodes.STANDBY):
        await execute(switched, f"UPDATE node SET timeline = {timeline}")
        await until(lambda: refused(store), 10.0)
        with pytest.raises(StoreUnavailableError):
            await store.load_states([U1])
        await asyncio.sleep(1.5)  # looks, which are not to let anything through
        assert not await served(store)
        await execute(switched, "UPDATE node SET timeline = 5")
        await until(lambda: served(store), 10.0)
    await store.close()


async def test_a17_behind_a_pooler_a_failover_wakes_everybody(switched: str) -> None:
    store = PostgresStore(switched, serverless=True)
    await store.open()
    with store.watch([U2]) as watch:
        await execute(switched, "UPDATE node SET timeline = 6")
        await soon(watch.wait(), 10.0)
    assert await served(store)
    await store.close()


async def test_a16_a_database_that_does_not_tell_is_taken_as_it_comes(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "NODE", "SELECT no_such_function()")
    for serverless in (False, True):
        store = PostgresStore(dsn, serverless=serverless)
        await store.open()
        assert await served(store)
        await store.close()


async def test_a17_after_a_failover_that_lost_commits_everybody_is_woken(old: PostgresServer) -> None:
    first = PostgresStore(old.dsn())
    await first.open()
    assert await added(first) == 1
    await first.close()
    with old.copy() as new:
        store = PostgresStore(url_of(old, new))
        await store.open()
        for expected in range(2, 6):
            assert await added(store) == expected
        with store.watch([U2]) as watch:
            await asyncio.to_thread(old.stop)
            await soon(watch.wait(), 20.0)
            await until(lambda: served(store), 10.0)
        assert (await store.load_states([U1]))[U1].version < 5
        await store.close()


async def test_a17_commits_whose_numbers_went_back_wake_everybody(dsn: str, store: PostgresStore) -> None:
    """As where the database was restored while nobody's connection broke."""
    for _ in range(5):
        await added(store)
    await asyncio.sleep(1.0)  # two looks, which are to find nothing more
    with store.watch([U2]) as watch:
        await execute(
            dsn, "DELETE FROM flowstate.commits; ALTER SEQUENCE flowstate.commits_id_seq RESTART WITH 1"
        )
        await soon(watch.wait(), 10.0)
    other = PostgresStore(dsn)
    await other.open()
    with store.watch([Topic(TopicKind.USER, NO_TENANT, "u1")]) as watch:
        await other.commit(batches.add_one())
        await soon(watch.wait(), 10.0)
    await other.close()


@pytest.mark.parametrize("options", ["", "?target_session_attrs=read-write", "?target_session_attrs=primary"])
async def test_a19_the_usual_urls_of_several_hosts_are_taken(server: PostgresServer, options: str) -> None:
    gone = urlsplit(server.dsn())._replace(netloc=f"postgres@127.0.0.1:1,127.0.0.1:{server.port}")
    store = PostgresStore(gone.geturl() + options)
    await store.open()
    assert await added(store) == 1
    await store.close()
