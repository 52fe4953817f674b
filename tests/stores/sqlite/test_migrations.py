import asyncio
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from flowstate_server.errors import StoreOpenError
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.lists import RequestFilter
from flowstate_server.stores.sqlite import SqliteStore, migrations
from flowstate_server.stores.tables.migrations import migrations_of
from flowstate_server.stores.transfer import check_store
from flowstate_server.testing.store_contract.builders import put
from tests.stores.sqlite import batches
from tests.stores.sqlite.make_dump import SESSIONS
from tests.stores.sqlite.processes import busy_process
from tests.support.filled_store import PROCESS

DUMPS = sorted((Path(__file__).parent / "dumps").glob("*.sql"))


async def open_and_close(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.close()


def schema(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        [(number,)] = database.execute("PRAGMA user_version").fetchall()
        assert isinstance(number, int)
        return number


async def test_a_fresh_file_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "not" / "there" / "flowstate.db"
    await open_and_close(path)
    assert version(path) == len(migrations_of(migrations.__package__))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchall() == [("wal",)]


async def test_reopening_keeps_schema_and_data(path: Path) -> None:
    await open_and_close(path)
    before = schema(path)
    for expected in range(1, 3):
        store = SqliteStore(path)
        await store.open()
        await store.commit(batches.add_one())
        states = await store.load_states([user_scope("u1")])
        assert states[user_scope("u1")].version == expected
        await store.close()
    assert schema(path) == before


async def test_processes_that_open_a_fresh_file_at_once_all_succeed(path: Path) -> None:
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(busy_process(path, "open")) for _ in range(4)]
        assert [await process.wait() for process in processes] == [0, 0, 0, 0]
    assert version(path) == len(migrations_of(migrations.__package__))


@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.stem)
async def test_a_database_of_an_earlier_schema_opens_keeps_its_data_and_serves(
    dump: Path, path: Path
) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(dump.read_text())  # noqa: ASYNC240
    store = SqliteStore(path)
    await store.open()
    try:
        assert [problem async for problem in check_store(store)] == []
        assert store.exports is not None
        found = await store.exports.export(tables.SESSIONS, after=None, limit=100, max_bytes=10**6)
        assert len(found) == SESSIONS
        before = (await store.load_states([user_scope("gone")]))[user_scope("gone")]
        assert (before.exists, before.version) == (False, 1)
        result = await store.commit((put(user_scope("gone"), {"n": 1}),))
        assert result.results[0].version == 2
        assert await store.read_running(PROCESS, limit=100)
        requests = await store.exports.export(tables.REQUESTS, after=None, limit=1000, max_bytes=10**7)
        for request in requests:
            which = RequestFilter(
                request.key.tenant, session=(request.head.session, request.head.session_log_id)
            )
            listed = await store.list_requests(which, limit=1000, max_bytes=10**7)
            assert request.key in {one.key for one in listed.requests}
    finally:
        await store.close()


def test_there_is_a_dump_of_every_schema() -> None:
    assert [dump.stem for dump in DUMPS] == [
        f"schema_{number}" for number in range(1, len(migrations_of(migrations.__package__)) + 1)
    ]


async def test_a_newer_database_is_refused(path: Path) -> None:
    await open_and_close(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreOpenError, match=r"has schema 99.*upgrade FlowState"):
        await open_and_close(path)


async def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE sessions (mine)")
    before = schema(path)
    with pytest.raises(StoreOpenError, match="another program's database"):
        await open_and_close(path)
    assert schema(path) == before


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    await asyncio.to_thread(path.write_text, "no database, but long enough to be looked at as one" * 100)
    with pytest.raises(StoreOpenError, match=r"flowstate\.db: file is not a database"):
        await open_and_close(path)


async def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreOpenError, match="unable to open database file"):
        await open_and_close(tmp_path)


def test_a_failing_migration_leaves_those_before_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = "CREATE TABLE one (a);\nPRAGMA application_id = 0x464C5354;\n"
    texts = [first, "CREATE TABLE two (a);\nbroken;\n"]
    monkeypatch.setattr("flowstate_server.stores.tables.migrations.migrations_of", lambda package: texts)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        with pytest.raises(sqlite3.OperationalError, match="syntax error"):
            migrations.migrate(database, path)
        assert (version(path), [name for _, name, _ in schema(path)]) == (1, ["one"])
        texts[1] = "CREATE TABLE two (a);\n"
        migrations.migrate(database, path)
    assert (version(path), [name for _, name, _ in schema(path)]) == (2, ["one", "two"])


def test_statements_end_at_their_own_semicolons() -> None:
    sql = "CREATE TABLE a (b); -- one; two\nCREATE TRIGGER t AFTER INSERT ON a BEGIN\n SELECT ';';\nEND;\n"
    assert len(list(migrations._statements(sql))) == 2
