import sqlite3
from contextlib import closing
from pathlib import Path

from flowstate_server.model.identity import Tenant
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.sqlite import SqliteStore
from tests.stores.sqlite import batches
from tests.stores.sqlite.batches import SESSION

REQUEST = RequestKey(Tenant("acme"), "req_1")


async def test_the_content_of_an_item_is_stored_once_in_one_row(store: SqliteStore, path: Path) -> None:
    content = b'{"parts":[{"type":"text","text":"only here"}]}'
    await run_turn(store, REQUEST, batches.item_done("item_1", content))
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT content FROM items").fetchall() == [(content,)]
        for table in ("events", "outcomes", "requests", "states"):
            for row in database.execute(f"SELECT * FROM {table}"):
                assert "only here" not in repr(row)
    page = await store.read_events(REQUEST, after=0, limit=100, max_bytes=10**6)
    assert page is not None
    assert [one.event.item.content for one in page.events if one.event.item] == [content]
    session = await store.get_session(SESSION)
    assert session is not None
    [item] = await store.read_turns(SESSION, session.log_id, newest=5)
    done = next(one for one in page.events if one.event.item)
    assert item.item == done.event.item
    assert (item.create_time, item.session_sequence) == (done.time, done.session_sequence)


async def test_a_turn_takes_few_bytes(store: SqliteStore, path: Path) -> None:
    """It was 820 when this was written, of which the texts and ids of the turn are some 600."""
    await run_turn(store, RequestKey(Tenant("acme"), "warm"))
    before = used(path)
    turns = 50
    for number in range(turns):
        request = RequestKey(Tenant("acme"), f"req_{number:026d}")
        item = batches.item_done(
            f"item_{number:026d}", b'{"parts":[{"type":"text","text":"%s"}]}' % (b"x" * 200)
        )
        await run_turn(store, request, item)
    assert (used(path) - before) / turns < 950


def used(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM commits")
        database.commit()
        database.execute("VACUUM")
        [(bytes_used,)] = database.execute("SELECT sum(pgsize) FROM dbstat").fetchall()
        assert isinstance(bytes_used, int)
        return bytes_used


async def run_turn(store: SqliteStore, request: RequestKey, *items: object) -> None:
    if await store.get_session(SESSION) is None:
        await store.commit(batches.create_session())
        await store.commit(batches.start_process())
    await store.commit(batches.create_request(request))
    if items:
        await store.commit(batches.emit(request, *items))  # type: ignore[arg-type]
    await store.commit(batches.finish(request))


async def test_a_session_made_anew_has_a_log_of_its_own(store: SqliteStore, path: Path) -> None:
    """The requests of the first incarnation stay with it."""
    await run_turn(store, REQUEST, batches.item_done("item_1", b'"old"'))
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE sessions SET delete_time = 1")
        database.commit()
    await store.commit(batches.create_session(log_id="log-2", exclusive=True))
    session = await store.get_session(SESSION)
    assert session is not None
    assert (session.log_id, session.deleted) == ("log-2", False)
    projection = await store.read_projection(SESSION, [])
    assert projection is not None
    assert (projection.head.log_id, projection.head.sequence, projection.head.turns) == ("log-2", 0, 0)
    second = RequestKey(Tenant("acme"), "req_2")
    await run_turn(store, second, batches.item_done("item_2", b'"new"'))
    assert [one.item.item_id for one in await store.read_turns(SESSION, "log-2", newest=9)] == ["item_2"]
    new = await store.get_request(second)
    assert new is not None
    assert (new.head.session, new.head.session_log_id) == (SessionKey(Tenant("acme"), "sess_1"), "log-2")
    assert await store.get_request(REQUEST) is None
    with closing(sqlite3.connect(path)) as database:
        logs = database.execute(
            "SELECT r.request_id, s.log_id FROM requests r JOIN request_heads USING (request)"
            " JOIN sessions s USING (log)"
        ).fetchall()
    assert sorted(logs) == [(REQUEST.request_id, "log-1"), ("req_2", "log-2")]
