from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from flowstate_server.errors import StoreOpenError
from flowstate_server.model.events import EventType
from flowstate_server.model.records import RequestHead, RequestStatus
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.lists import RequestFilter
from flowstate_server.stores.postgres import PostgresStore, migrations
from flowstate_server.stores.tables.migrations import migrations_of
from tests.stores.postgres.make_dump import NOTES, PIECE, REQUEST, RUNNING
from tests.stores.sqlite import batches
from tests.support.postgres_server import execute, fetch, fresh_database

DUMPS = sorted((Path(__file__).parent / "dumps").glob("*.sql"))
SCHEMA = (
    "SELECT table_name, column_name, data_type, collation_name FROM information_schema.columns"
    " WHERE table_schema = 'flowstate' UNION ALL"
    " SELECT tablename, indexname, indexdef, NULL FROM pg_indexes WHERE schemaname = 'flowstate' ORDER BY 1, 2"
)


@pytest.fixture
async def empty() -> AsyncIterator[str]:
    """The URL of a database without any tables."""
    async with fresh_database() as dsn:
        yield dsn


async def open_and_close(dsn: str) -> None:
    store = PostgresStore(dsn)
    await store.open()
    await store.close()


async def version(dsn: str) -> int:
    [(number,)] = await fetch(dsn, "SELECT max(number) FROM flowstate.migrations")
    assert isinstance(number, int)
    return number


async def test_stores_that_open_a_fresh_database_at_once_all_succeed(empty: str) -> None:
    await asyncio.gather(*(open_and_close(empty) for _ in range(6)))
    assert await version(empty) == len(migrations_of(migrations.__package__))


async def test_reopening_keeps_schema_and_data(empty: str) -> None:
    await open_and_close(empty)
    before = await fetch(empty, SCHEMA)
    for expected in range(1, 3):
        store = PostgresStore(empty)
        await store.open()
        await store.commit(batches.add_one())
        assert (await store.load_states([user_scope("u1")]))[user_scope("u1")].version == expected
        await store.close()
    assert await fetch(empty, SCHEMA) == before


async def test_every_key_is_compared_by_its_bytes(dsn: str) -> None:
    collations = (
        "SELECT DISTINCT collation_name FROM information_schema.columns WHERE table_schema = 'flowstate'"
    )
    assert await fetch(dsn, f"{collations} AND data_type = 'text'") == [("C",)]


async def test_a_newer_database_is_refused(dsn: str) -> None:
    await execute(dsn, "INSERT INTO flowstate.migrations (number) VALUES (99)")
    with pytest.raises(StoreOpenError, match=r"has schema 99.*upgrade FlowState"):
        await open_and_close(dsn)


async def test_another_programs_schema_is_refused_and_left_alone(empty: str) -> None:
    await execute(empty, "CREATE SCHEMA flowstate; CREATE TABLE flowstate.sessions (mine int)")
    before = await fetch(empty, SCHEMA)
    with pytest.raises(StoreOpenError, match="a schema flowstate that is not FlowState's"):
        await open_and_close(empty)
    assert await fetch(empty, SCHEMA) == before


async def test_a_database_of_another_encoding_is_refused(empty: str) -> None:
    name = f"{urlsplit(empty).path[1:]}_latin1"
    await execute(empty, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(StoreOpenError, match="has the encoding LATIN1, UTF8 is needed"):
        await open_and_close(urlsplit(empty)._replace(path=f"/{name}").geturl())
    await execute(empty, f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_role_without_rights_to_create_is_told(empty: str) -> None:
    role = f"reader_{urlsplit(empty).path[1:]}"
    await execute(empty, f"CREATE ROLE {role} LOGIN")
    parts = urlsplit(empty)
    poor = parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(StoreOpenError, match="permission denied for database"):
        await open_and_close(poor)
    await execute(empty, f"DROP ROLE {role}")


async def test_a_failing_migration_leaves_nothing_of_it(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = "CREATE TABLE flowstate.one (a int);"
    texts = [first, "CREATE TABLE flowstate.two (a int); broken;"]
    monkeypatch.setattr("flowstate_server.stores.tables.migrations.migrations_of", lambda package: texts)
    with pytest.raises(StoreOpenError, match="syntax error"):
        await open_and_close(empty)
    assert await fetch(empty, "SELECT to_regnamespace('flowstate')::text") == [(None,)]


@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.stem)
async def test_a_database_of_every_schema_opens_keeps_its_data_and_serves(
    dump: Path, empty: str, dsn: str
) -> None:
    await execute(empty, await asyncio.to_thread(dump.read_text))
    store = PostgresStore(empty)
    await store.open()
    assert await version(empty) == len(migrations_of(migrations.__package__))
    assert await fetch(empty, SCHEMA) == await fetch(dsn, SCHEMA)
    request = await store.get_request(REQUEST)
    assert request is not None
    assert (request.head.status, request.output) == (RequestStatus.COMPLETED, b'"done"')
    page = await store.read_events(REQUEST, after=0, limit=100, max_bytes=1 << 20)
    assert page is not None
    assert [record.event.type for record in page.events] == [
        EventType.REQUEST_CREATED,
        EventType.REQUEST_IN_PROGRESS,
        EventType.ITEM_DELTA,
        EventType.ITEM_DONE,
        EventType.REQUEST_COMPLETED,
    ]
    [item] = await store.read_turns(batches.SESSION, "log-1", newest=5)
    assert (item.item.item_id, item.item.content) == ("item_1", b'{"parts":[]}')
    assert [head.key for head in await active(store)] == [RUNNING]
    of_session = RequestFilter(REQUEST.tenant, session=(batches.SESSION, "log-1"))
    listed = await store.list_requests(of_session, limit=9, max_bytes=1 << 20)
    assert [one.key for one in listed.requests] == [RUNNING, REQUEST]
    [note] = await store.read_documents(NOTES)
    assert (note.key.name, note.text, note.version) == (("\0", "b"), b'"text"', 1)
    assert store.pieces is not None
    assert await store.pieces.read(PIECE) == b"\0piece"
    await store.commit(batches.finish(RUNNING))
    assert (await store.commit(batches.add_one())).results[0].version == 2
    await store.commit(batches.create_session(batches.SESSION._replace(session_id="new"), "log-2"))
    await store.close()


async def active(store: PostgresStore) -> list[RequestHead]:
    found = await store.read_projection(batches.SESSION, ())
    assert found is not None
    return list(found.active)


def test_there_is_a_dump_of_the_present_schema() -> None:
    assert [dump.stem for dump in DUMPS] == [
        f"schema_{number}" for number in range(1, len(migrations_of(migrations.__package__)) + 1)
    ]
