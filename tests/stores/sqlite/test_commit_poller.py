import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.watch import Topic, TopicKind, Watch
from flowstate_server.stores.sqlite import SqliteStore, commit_poller, sweeps
from flowstate_server.stores.tables.numbers import encode_topics
from tests.stores.sqlite import batches

U1 = Topic(TopicKind.USER, NO_TENANT, "u1")
U2 = Topic(TopicKind.USER, NO_TENANT, "u2")


@pytest.fixture
async def other(store: SqliteStore, path: Path) -> AsyncIterator[SqliteStore]:
    """A second store on the file of the first."""
    other = SqliteStore(path)
    await other.open()
    yield other
    await other.close()


async def woken(watch: Watch) -> bool:
    """Whether the watch is awake by the time that one of ``u2``'s would long be."""
    try:
        await asyncio.wait_for(watch.wait(), commit_poller.INTERVAL * 10)
    except TimeoutError:
        return False
    return True


async def test_a_commit_wakes_the_watches_of_another_store_after_it_is_visible(
    store: SqliteStore, other: SqliteStore
) -> None:
    with store.watch([U1]) as watch:
        for expected in range(1, 20):
            await other.commit(batches.add_one())
            async with asyncio.timeout(store.max_wake_delay):
                await watch.wait()
            states = await store.load_states([user_scope("u1")])
            assert states[user_scope("u1")].version == expected


async def test_only_the_topics_of_the_commit_wake(store: SqliteStore, other: SqliteStore) -> None:
    with store.watch([U1]) as watched, store.watch([U2]) as unrelated:
        await other.commit(batches.add_one("u1"))
        await watched.wait()
        assert not await woken(unrelated)


async def test_own_commits_wake_at_once_and_once(store: SqliteStore) -> None:
    with store.watch([U1]) as watch:
        await store.commit(batches.add_one())
        assert await woken(watch)
        assert not await woken(watch)


async def test_a_cancelled_commit_still_wakes(store: SqliteStore) -> None:
    """Without the group committer: nobody is left to wake the watches but the poller."""
    with store.watch([U1]) as watch:
        writer = store.backend.writer
        topics = encode_topics([U1])
        statement = "INSERT INTO commits (time, topics) VALUES (0, ?)"
        commit = asyncio.create_task(writer.run(lambda cursor: cursor.execute(statement, (topics,)).rowcount))
        await asyncio.sleep(0)
        commit.cancel()
        await watch.wait()


async def test_the_poller_survives_errors_and_wakes_all_when_it_recovers(
    store: SqliteStore, other: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = commit_poller._found
    failures = iter(range(3))

    def failing(
        connection: sqlite3.Connection, after: int
    ) -> tuple[int, list[tuple[int, list[Topic]]] | None]:
        if next(failures, None) is not None:
            raise sqlite3.OperationalError("disk I/O error")
        return found(connection, after)

    monkeypatch.setattr(commit_poller, "BACK_OFF", 0.01)
    monkeypatch.setattr(commit_poller, "_found", failing)
    with store.watch([U1]) as watched, store.watch([U2]) as unrelated:
        await other.commit(batches.add_one("u1"))
        await watched.wait()
        await unrelated.wait()
        await other.commit(batches.add_one("u1"))
        await watched.wait()


async def test_a_reader_further_behind_than_the_oldest_row_wakes_all(
    store: SqliteStore, other: SqliteStore, path: Path
) -> None:
    with store.watch([U2]) as watch:
        database = sqlite3.connect(path)
        database.execute("INSERT INTO commits (time, topics) VALUES (0, X'5B5D')")
        database.execute("DELETE FROM commits")
        database.commit()
        database.close()
        await watch.wait()


def test_where_rows_are_gone_or_too_many_nothing_is_read(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE commits (id INTEGER PRIMARY KEY AUTOINCREMENT, time, topics)")
    assert commit_poller._found(database, 0) == (0, [])
    database.executemany(
        "INSERT INTO commits (time, topics) VALUES (?, ?)", [(time, b"[]") for time in range(9)]
    )
    assert commit_poller._found(database, 6) == (9, [(7, []), (8, []), (9, [])])
    assert sweeps.trim_commits(database.cursor(), before=Micros(5), limit=3) == 3
    assert sweeps.trim_commits(database.cursor(), before=Micros(5), limit=3) == 2
    assert sweeps.trim_commits(database.cursor(), before=Micros(5), limit=3) == 0
    assert commit_poller._found(database, 4) == (9, None)
    assert commit_poller._found(database, 6, {7, 8, 9, 10}) == (9, [(9, [])])
    assert commit_poller._found(database, 6, {7, 9}) == (9, [(7, []), (8, []), (9, [])])
    assert commit_poller._found(database, 5)[1] is not None
    sweeps.trim_commits(database.cursor(), before=Micros(100), limit=100)
    assert commit_poller._found(database, 8) == (9, None)
    assert commit_poller._found(database, 9) == (9, [])
    assert commit_poller._found(database, 9 - commit_poller.MOST_BEHIND - 1) == (9, None)
    database.close()


async def test_old_commits_are_trimmed_in_batches(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_poller, "TRIM_BATCH", 2)
    for _ in range(5):
        await store.commit(batches.add_one())
    with closing(sqlite3.connect(path)) as database:
        await commit_poller.trim(store.backend.writer, store.backend.clock)
        assert database.execute("SELECT count(*) FROM commits").fetchone() == (5,)
        monkeypatch.setattr(commit_poller, "TRIM_AGE", -1_000_000)
        await commit_poller.trim(store.backend.writer, store.backend.clock)
        assert database.execute("SELECT count(*) FROM commits").fetchone() == (0,)


async def test_close_ends_the_poller_though_the_database_is_gone(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    for file in path.parent.iterdir():
        file.unlink()
    await store.close()
