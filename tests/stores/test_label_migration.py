"""Sessions of a database of schema 1, which had no labels, are found by theirs once it was opened."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.scopes import SessionKey
from flowstate_server.model.session_labels import labels
from flowstate_server.store_urls import store_from_url
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.tables import SESSIONS
from flowstate_server.stores.contract.writes import CreateSession
from flowstate_server.stores.postgres import migrations as postgres_migrations
from flowstate_server.stores.sqlite import migrations as sqlite_migrations
from flowstate_server.stores.store import Store
from flowstate_server.stores.tables import labels as label_rows
from flowstate_server.testing.store_contract.builders import new_session, take_over
from flowstate_server.testing.store_contract.labels import VALUES, as_json, having
from tests.stores.damage import execute
from tests.support.postgres_server import connection, fresh_database
from tests.support.store_urls import SHARED, new_store_url

COUNT = 40
DUMPS = Path(__file__).parent
TAG = """UPDATE sessions SET tags = CAST('["old","tag"]' AS {})"""


def _session(number: int) -> CreateSession:
    name = f"session-{number:02}"
    return replace(
        new_session(name, tenant="acme" if number % 4 == 0 else ""),
        ephemeral=number % 5 == 0,
        tags=("all", f"tag-{number}")[: number % 3],
        metadata=as_json({"value": VALUES[number % len(VALUES)], "number": number} if number % 2 else {}),
    )


async def _found(store: Store, which: SessionFilter) -> list[str]:
    page = await store.list_sessions(which, limit=100)
    assert page.next is None
    return sorted(one.record.key.session_id for one in page.sessions)


async def _all_found(store: Store) -> list[list[str]]:
    filters = [having("all")]
    filters += [having(f"tag-{number}") for number in range(COUNT)]
    filters += [having(number=number) for number in range(COUNT)]
    filters += [having(value=value) for value in VALUES]
    return [
        await _found(store, replace(which, tenant=tenant, include_ephemeral=ephemeral))
        for tenant in (NO_TENANT, Tenant("acme"))
        for ephemeral in (False, True)
        for which in filters
    ]


@pytest.mark.parametrize("kind", SHARED)
async def test_labels_are_made_of_what_is_there(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(label_rows, "AT_ONCE", 7)
    async with new_store_url(kind, tmp_path) as url:
        store = store_from_url(url)
        await store.open()
        for number in range(COUNT):
            await store.commit((_session(number),))
        gone = replace(_session(41), key=SessionKey(NO_TENANT, "gone"), tags=("all",), log_id="old")
        await store.commit((gone,))
        session = await store.get_session(gone.key)
        assert session is not None
        await take_over(store, SESSIONS, [replace(session, delete_time=session.create_time)])
        await store.commit((replace(gone, log_id="new", tags=("new",), exclusive=True),))
        before = await _all_found(store)
        assert before[0].count("gone") == 0
        assert sum(map(len, before)) > COUNT
        await store.close()

        broken = "session-01"
        await execute(url, f"UPDATE sessions SET metadata = {{}} WHERE session_id = '{broken}'")
        await execute(url, "DELETE FROM session_labels")
        await _fill(url)
        store = store_from_url(url)
        await store.open()
        try:
            expected = [[name for name in names if name != broken] for names in before]
            assert await _all_found(store) == expected
            assert broken in caplog.text
            assert await _found(store, having("new")) == ["gone"]
        finally:
            await store.close()


async def _fill(url: str) -> None:
    """What the migration does once the table is there."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(urlsplit(url).path[1:])) as database, database:
            sqlite_migrations._fill_labels(database.cursor())
    else:
        async with connection(url) as connected:
            await postgres_migrations._fill_labels(connected)


async def test_a_sqlite_database_of_schema_1_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "flowstate.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript((DUMPS / "sqlite/dumps/schema_1.sql").read_text())
        database.execute(TAG.format("BLOB"))
        database.commit()
    await _check_migrated(f"sqlite:///{path}", 12)


async def test_a_postgres_database_of_schema_1_is_migrated() -> None:
    async with fresh_database() as url:
        dump = (DUMPS / "postgres/dumps/schema_1.sql").read_text()
        async with connection(url) as connected:
            await connected.execute(dump)
            await connected.execute(f"SET search_path TO flowstate; {TAG.format('bytea')}")
        await _check_migrated(url, 1)


async def _check_migrated(url: str, sessions: int) -> None:
    store = store_from_url(url)
    await store.open()
    try:
        assert store.exports is not None
        found = await store.exports.export(SESSIONS, after=None, limit=100, max_bytes=10**6)
        assert len(found) == sessions
        for session in found:
            which = SessionFilter(session.key.tenant, include_ephemeral=True)
            for label in labels(session.tags, session.metadata):
                assert session.key.session_id in await _found(store, replace(which, labels=(label,)))
            assert session.key.session_id in await _found(store, having("old", "tag", which=which))
    finally:
        await store.close()
