"""How one process learns of another's commits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.watch import Topic, TopicKind, Watch
from flowstate_server.stores.postgres import PostgresStore, commit_poller
from flowstate_server.stores.postgres.commit_notifier import CHANNEL, CommitNotifier
from flowstate_server.stores.tables.numbers import encode_topics
from flowstate_server.testing.waiting import soon, until
from tests.stores.postgres.crash import groups_of
from tests.stores.sqlite import batches
from tests.support.postgres_server import PostgresServer, connection, execute, fetch

U1 = Topic(TopicKind.USER, NO_TENANT, "u1")
U2 = Topic(TopicKind.USER, NO_TENANT, "u2")
INSERT = "INSERT INTO flowstate.commits (token, time, topics) VALUES (1, {time}, '{topics}')"
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"


def commit_row(topic: Topic, time: str = "9000000000000000") -> str:
    return INSERT.format(time=time, topics=encode_topics([topic]).decode())


async def woken(watch: Watch, seconds: float) -> bool:
    try:
        await asyncio.wait_for(watch.wait(), seconds)
    except TimeoutError:
        return False
    return True


@pytest.fixture
async def deaf(dsn: str) -> AsyncIterator[PostgresStore]:
    """A store that hears no notification."""
    store = PostgresStore(dsn, serverless=True)
    await store.open()
    yield store
    await store.close()


async def test_a_notification_wakes_at_once(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_poller, "INTERVAL", 60.0)
    one, other = PostgresStore(dsn), PostgresStore(dsn)
    await one.open()
    await other.open()
    with one.watch([U1]) as watch, one.watch([U2]) as unrelated:
        for expected in range(1, 20):
            await other.commit(batches.add_one())
            await soon(watch.wait(), 5)
            assert (await one.load_states([user_scope("u1")]))[user_scope("u1")].version == expected
        assert not await woken(unrelated, 0.05)
    await one.close()
    await other.close()


@pytest.mark.parametrize("lost", ["not sent", "not heard"])
async def test_a_lost_notification_delays_by_at_most_a_second(
    store: PostgresStore,
    deaf: PostgresStore,
    other: PostgresStore,
    lost: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watching = deaf if lost == "not heard" else store
    if lost == "not sent":
        monkeypatch.setattr(CommitNotifier, "tell", lambda *_: None)
    for _ in range(3):
        with watching.watch([U1]) as watch:
            await other.commit(batches.add_one())
            begin = time.monotonic()
            await soon(watch.wait())
            assert time.monotonic() - begin < store.max_wake_delay


async def test_own_commits_wake_at_once_and_once(store: PostgresStore) -> None:
    with store.watch([U1]) as watch:
        await store.commit(batches.add_one())
        assert await woken(watch, 0.01)
        assert not await woken(watch, commit_poller.INTERVAL * 2)


async def test_a_terminated_listener_comes_back_and_wakes_all(
    store: PostgresStore, other: PostgresStore, dsn: str
) -> None:
    before = await fetch(dsn, LISTENERS)
    assert len(before) == 2
    with store.watch([U2]) as watch:
        await execute(dsn, f"SELECT pg_terminate_backend(pid) FROM ({LISTENERS}) listening")
        await soon(watch.wait())

    async def listening() -> bool:
        now = await fetch(dsn, LISTENERS)
        return len(now) == 2 and not set(now) & set(before)

    await until(listening)
    with store.watch([U1]) as watch:
        await other.commit(batches.add_one())
        await soon(watch.wait(), store.max_wake_delay)


async def test_commits_visible_out_of_order_all_wake(deaf: PostgresStore, dsn: str) -> None:
    """A number is drawn before its commit, so a later one may be visible first."""
    async with connection(dsn) as slow:
        with deaf.watch([U1]) as first, deaf.watch([U2]) as second:
            await slow.execute("BEGIN")
            await slow.execute(commit_row(U1))
            await execute(dsn, commit_row(U2))
            await soon(second.wait())
            assert not await woken(first, commit_poller.INTERVAL * 2)
            await slow.execute("COMMIT")
            await soon(first.wait())


async def test_a_commit_under_way_when_a_store_opens_wakes_it(dsn: str) -> None:
    async with connection(dsn) as slow:
        await slow.execute("BEGIN")
        await slow.execute(commit_row(U1))
        await execute(dsn, commit_row(U2))
        store = PostgresStore(dsn, serverless=True)
        await store.open()
        with store.watch([U1]) as watch:
            await slow.execute("COMMIT")
            await soon(watch.wait())
        await store.close()


async def test_a_number_given_up_wakes_all(
    deaf: PostgresStore, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_poller, "MISSING_SECONDS", 0.0)
    with deaf.watch([U1]) as watch:
        await execute(dsn, f"BEGIN; {commit_row(U2)}; ROLLBACK")
        await execute(dsn, commit_row(U2))
        await soon(watch.wait())


async def test_a_reader_far_behind_wakes_all(
    deaf: PostgresStore, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_poller, "MOST_BEHIND", 3)
    with deaf.watch([U1]) as watch:
        await execute(dsn, "; ".join([commit_row(U2)] * 10))
        await soon(watch.wait())


async def test_old_commits_are_trimmed_in_batches(
    store: PostgresStore, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_poller, "TRIM_BATCH", 2)
    connections = groups_of(store)._connections
    await execute(dsn, "; ".join([commit_row(U1, "0")] * 5))
    await store.commit(batches.add_one())
    await commit_poller.trim(connections)
    assert await fetch(dsn, "SELECT count(*) FROM flowstate.commits") == [(1,)]


async def test_no_notification_is_part_of_a_group() -> None:
    """It would take a lock of the whole server at the commit."""
    with PostgresServer.run(log_statement="all", log_line_prefix="%p ") as server:
        one, other = PostgresStore(server.dsn()), PostgresStore(server.dsn())
        await one.open()
        await other.open()
        with other.watch([U1]) as watch:
            await asyncio.gather(*(one.commit(batches.add_one()) for _ in range(100)))
            await soon(watch.wait())
        await one.close()
        await other.close()
        told = [line for line in server.log.splitlines() if CHANNEL in line and "LISTEN" not in line]
        assert told
        groups = [line for line in server.log.splitlines() if "new_commits" in line]
        assert len(groups) >= 2
        for line in told:
            assert "statement: BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous" in line
            assert line.endswith("'); COMMIT")
            assert "new_commits" not in line
