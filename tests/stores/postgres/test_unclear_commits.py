"""The connection is lost after COMMIT was sent: Postgres is asked, nobody guesses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.postgres import PostgresStore, unclear_commits
from flowstate_server.stores.postgres.unclear_commits import is_committed
from flowstate_server.stores.postgres.writing import Written
from flowstate_server.testing.waiting import soon
from tests.stores.postgres.commit_proxy import CommitProxy, Lose, commit_proxy
from tests.stores.postgres.crash import groups_of
from tests.stores.sqlite import batches
from tests.support.postgres_server import connection

U1 = user_scope("u1")


@pytest.fixture
async def proxy(dsn: str) -> AsyncIterator[CommitProxy]:
    async with commit_proxy(dsn) as proxy:
        yield proxy


@pytest.fixture
async def remote(proxy: CommitProxy) -> AsyncIterator[PostgresStore]:
    """A store behind the proxy."""
    store = PostgresStore(proxy.dsn)
    await store.open()
    yield store
    await store.close()


async def version(store: PostgresStore) -> int:
    return (await store.load_states([U1]))[U1].version


@pytest.mark.parametrize("lost", [Lose.ANSWER, Lose.REQUEST])
async def test_a_batch_is_committed_once_whatever_was_lost(
    remote: PostgresStore, proxy: CommitProxy, lost: Lose
) -> None:
    for expected in range(1, 6):
        proxy.lose(lost)
        result = await soon(remote.commit(batches.add_one()))
        assert result.results[0].version == expected
        assert await version(remote) == expected
    assert proxy.lost == 5


async def test_a_commit_found_again_wakes(remote: PostgresStore, proxy: CommitProxy) -> None:
    with remote.watch([Topic(TopicKind.USER, NO_TENANT, "u1")]) as watch:
        proxy.lose(Lose.ANSWER)
        await soon(remote.commit(batches.add_one()))
        await soon(watch.wait())


@pytest.mark.parametrize("lost", [Lose.ANSWER, Lose.REQUEST])
async def test_without_an_answer_in_time_it_is_unavailable(
    remote: PostgresStore,
    store: PostgresStore,
    proxy: CommitProxy,
    lost: Lose,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unclear_commits, "SETTLE_SECONDS", 0.3)
    proxy.lose(lost, then_refuse=True)
    with pytest.raises(StoreUnavailableError):
        await soon(remote.commit(batches.add_one()))
    assert await version(store) == (lost is Lose.ANSWER)
    proxy.heal()
    await soon(remote.commit(batches.add_one()))


class TestAsking:
    """``is_committed`` by itself."""

    INSERT = "INSERT INTO flowstate.commits (token, time, topics) VALUES (7, 0, '[]') RETURNING id"
    NUMBER = "SELECT pg_current_xact_id()::text::bigint"

    async def test_a_transaction_in_progress_is_waited_for(self, store: PostgresStore, dsn: str) -> None:
        connections = groups_of(store)._connections
        async with connection(dsn) as raw:
            for end, committed in (("COMMIT", True), ("ROLLBACK", False)):
                await raw.execute("BEGIN")
                written = Written(await raw.fetchval(self.INSERT), 7, await raw.fetchval(self.NUMBER))
                asking = asyncio.create_task(is_committed(connections, written))
                done, _ = await asyncio.wait((asking,), timeout=0.2)
                assert not done
                await raw.execute(end)
                assert await soon(asking) is committed

    async def test_a_number_that_a_crash_gave_to_another_transaction_is_no_proof(
        self, store: PostgresStore, dsn: str
    ) -> None:
        connections = groups_of(store)._connections
        async with connection(dsn) as raw, raw.transaction():
            commit, transaction = await raw.fetchval(self.INSERT), await raw.fetchval(self.NUMBER)
        assert await is_committed(connections, Written(commit, 7, transaction))
        assert not await is_committed(connections, Written(commit, 8, transaction))
        assert not await is_committed(connections, Written(commit, 7, transaction + 1_000_000))
