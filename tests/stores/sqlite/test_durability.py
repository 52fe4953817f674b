import asyncio
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flowstate_server.errors import InternalError, StoreUnavailableError
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import SessionKey, session_scope, user_scope
from flowstate_server.stores.contract.backend import Conflict
from flowstate_server.stores.contract.writes import Changed, ChangeState
from flowstate_server.stores.sqlite import SqliteStore, connection
from flowstate_server.stores.sqlite.driver_errors import translated
from tests.stores.sqlite import batches
from tests.stores.sqlite.processes import busy_process, heard

LEFT, RIGHT = user_scope("left"), user_scope("right")


@pytest.mark.parametrize("seed", range(4))
async def test_killed_in_a_group_it_leaves_all_that_was_answered_and_nothing_half_written(
    path: Path, seed: int
) -> None:
    await prepare(path)
    async with busy_process(path, "pairs") as process:
        for _ in range(20):
            await heard(process)
        await asyncio.sleep(random.Random(seed).uniform(0, 0.01))  # to be killed anywhere in a group
        process.kill()
        assert process.stdout is not None
        said = (await process.stdout.read()).splitlines(keepends=True)
    acknowledged = max((json.loads(line) for line in said if line.endswith(b"\n")), default=20)
    store = SqliteStore(path)
    await store.open()
    states = await store.load_states([LEFT, RIGHT])
    await store.commit(batches.add_one())
    await store.close()
    left, right = states[LEFT].version, states[RIGHT].version
    assert left == right
    assert acknowledged <= left <= acknowledged + 1
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT count(*) FROM events").fetchone() == (left,)
        assert database.execute("SELECT sequence FROM session_heads").fetchone() == (left,)


async def prepare(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.commit(batches.create_session())
    await store.close()


async def test_a_full_disk_refuses_what_does_not_fit_and_is_used_again_once_there_is_room(
    store: SqliteStore,
) -> None:
    await store.commit(batches.create_session())
    key = session_scope(batches.SESSION)
    text = json.dumps({"text": "x" * 200_000}).encode()
    large = (ChangeState(key, lambda record: Changed(json.loads(text), text)),)
    pages = await limit_pages(store, 0)  # no fewer than there are
    with pytest.raises(StoreUnavailableError) as refused:
        await store.commit(large)
    assert isinstance(refused.value.__cause__, sqlite3.OperationalError | StoreUnavailableError)
    assert "full" not in str(refused.value)
    assert (await store.load_states([key]))[key].version == 0
    assert (await store.get_session(batches.SESSION)) is not None
    await limit_pages(store, pages + 1000)
    assert (await store.commit(large)).results[0].version == 1


async def limit_pages(store: SqliteStore, pages: int) -> int:
    def limit(connection: sqlite3.Connection) -> int:
        [(limited,)] = connection.execute(f"PRAGMA max_page_count = {max(1, pages)}").fetchall()
        assert isinstance(limited, int)
        return limited

    return await store.backend.writer._connection.run(limit)


async def test_cancelled_callers_leave_batches_whole_or_absent_and_the_store_usable(
    store: SqliteStore,
) -> None:
    await store.commit(batches.create_session())
    chance = random.Random(1)

    async def write(number: int) -> bool:
        batch = (*batches.add_one("left"), *batches.add_one("right"))
        try:
            async with asyncio.timeout(chance.uniform(0, 0.002)):
                await store.commit(batch)
        except TimeoutError:
            return False
        return True

    async def read(number: int) -> bool:
        try:
            async with asyncio.timeout(chance.uniform(0, 0.002)):
                projection = await store.read_projection(batches.SESSION, [LEFT, RIGHT])
        except TimeoutError:
            return False
        assert projection is not None
        assert projection.states[LEFT].version == projection.states[RIGHT].version
        return True

    answered = 0
    for _ in range(20):
        done = await asyncio.gather(*(work(number) for number in range(10) for work in (write, read)))
        answered += sum(done[::2])
    await store.commit((*batches.add_one("left"), *batches.add_one("right")))
    states = await store.load_states([LEFT, RIGHT])
    assert states[LEFT].version == states[RIGHT].version
    assert answered < states[LEFT].version <= 201


async def test_while_someone_else_holds_the_lock_it_is_unavailable_and_then_usable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.01)
    store = SqliteStore(path)
    await store.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError):
            await store.commit(batches.add_one())
        with pytest.raises(StoreUnavailableError):
            await store.sweep_processes(limit=10)
        assert await store.get_session(batches.SESSION) is None
        database.execute("ROLLBACK")
    await store.commit(batches.add_one())
    await store.close()


async def test_a_group_works_in_the_thread_of_its_connection_and_not_in_the_loop(store: SqliteStore) -> None:
    """A slow change holds nobody up but the writers."""
    loop = asyncio.get_running_loop()
    deciding = asyncio.Event()
    go_on = asyncio.Event()

    def slow(record: object) -> Changed:
        loop.call_soon_threadsafe(deciding.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
        return Changed({}, b"{}")

    commit = asyncio.create_task(store.commit((ChangeState(LEFT, slow),)))
    await deciding.wait()
    assert await store.get_session(SessionKey(NO_TENANT, "none")) is None
    go_on.set()
    assert (await commit).results[0].version == 1


async def test_closed_or_never_opened_it_is_unavailable(path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailableError):
        await store.commit(batches.add_one())
    with pytest.raises(StoreUnavailableError):
        await store.get_session(batches.SESSION)
    await store.close()
    await store.open()
    await store.close()
    await store.close()
    for call in (
        store.commit(batches.add_one()),
        store.get_session(batches.SESSION),
        store.sweep_processes(limit=1),
    ):
        with pytest.raises(StoreUnavailableError):
            await call


def test_an_unknown_synchronous_setting_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="synchronous"):
        SqliteStore(path, synchronous="full; DROP TABLE sessions")


@pytest.mark.parametrize(
    ("statement", "values", "expected"),
    [
        ("INSERT INTO one VALUES ('x')", (), Conflict),
        ("INSERT INTO one VALUES (NULL)", (), InternalError),
        ("INSERT INTO one VALUES (?)", ("x" * 1000,), InternalError),
        ("INSERT INTO one VALUES (?)", (), InternalError),
        ("SELECT * FROM two", (), StoreUnavailableError),
    ],
)
def test_errors_of_the_driver_become_ours(
    statement: str, values: tuple[str, ...], expected: type[Exception]
) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE one (a TEXT PRIMARY KEY) STRICT, WITHOUT ROWID")
        database.execute("INSERT INTO one VALUES ('x')")
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100)
        with pytest.raises(sqlite3.Error) as raised:
            database.execute(statement, values)
    ours = translated(raised.value)
    assert type(ours) is expected
    assert "one" not in str(ours)
