"""What is known of the last groups: nothing is read twice, and nothing is known that another has changed."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import STORE_OWNER, DocumentKey, session_owner
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.contract.writes import AtVersion, Batch, Exists, PutIdempotencyKey
from flowstate_server.stores.sqlite import SqliteStore
from tests.stores.sqlite import batches

COUNTER = DocumentKey(STORE_OWNER, "counter", ("one",))
OWNED = DocumentKey(session_owner(batches.SESSION, "log-1"), "note", ("a", "b"))
HOUR = 3_600_000_000


@asynccontextmanager
async def statements(store: SqliteStore) -> AsyncIterator[list[str]]:
    """Those that the writer runs meanwhile."""
    ran: list[str] = []

    def trace(connection: sqlite3.Connection, callback: object) -> None:
        connection.set_trace_callback(callback)  # type: ignore[arg-type]

    await store.backend.writer._connection.run(trace, ran.append)
    yield ran
    await store.backend.writer._connection.run(trace, None)


def reads_of(ran: list[str], table: str) -> list[str]:
    return [statement for statement in ran if statement.startswith("SELECT") and f" {table} " in statement]


async def test_documents_of_the_last_groups_are_not_read_again(store: SqliteStore) -> None:
    await store.commit(batches.create_session())
    await store.commit((PutDocument(COUNTER, b"0"), PutDocument(OWNED, b"0")))
    async with statements(store) as ran:
        for number in range(1, 4):
            text = b"%d" % number
            await store.commit((PutDocument(COUNTER, text, AtVersion(number)), PutDocument(OWNED, text)))
    assert reads_of(ran, "documents") == []
    found = await store.load_documents([COUNTER, OWNED])
    assert [(document.version, document.text) for document in found.values()] == [(4, b"3"), (4, b"3")]


async def test_a_group_looks_once_for_what_should_not_be_there_yet(store: SqliteStore) -> None:
    await store.commit(batches.create_session())
    await store.commit(batches.start_process())

    def create(number: int) -> Batch:
        key = IdempotencyKey(Tenant("acme"), "p", "m", f"key-{number}")
        return (
            PutIdempotencyKey(key, "print", Micros(HOUR)),
            *batches.create_request(RequestKey(Tenant("acme"), f"req-{number}")),
        )

    async with statements(store) as ran:
        await asyncio.gather(*(store.commit(create(number)) for number in range(12)))
        first = len(reads_of(ran, "documents")), len(reads_of(ran, "requests"))
        again = await asyncio.gather(*(store.commit(create(number)) for number in range(12)))
    assert first == (1, 1)
    assert all(result.replayed for result in again)


async def test_what_another_changed_is_read_again(store: SqliteStore, path: Path) -> None:
    await store.commit((PutDocument(COUNTER, b"0"),))
    other = SqliteStore(path)
    await other.open()
    await other.commit((PutDocument(COUNTER, b"1", AtVersion(1)),))
    await store.commit((PutDocument(COUNTER, b"2", AtVersion(2)),))
    await other.commit((DeleteDocument(COUNTER),))
    await store.commit((PutDocument(COUNTER, b"3", Exists(False)),))
    await other.close()
    assert (await store.load_documents([COUNTER]))[COUNTER].text == b"3"


async def test_what_a_sweep_may_delete_is_not_kept(store: SqliteStore) -> None:
    await store.commit(
        (PutDocument(COUNTER, b"0", lifetime=Micros(1)), PutDocument(OWNED._replace(owner=STORE_OWNER), b"0"))
    )
    assert await store.sweep_documents(limit=10) == 1
    await store.commit((PutDocument(COUNTER, b"1", Exists(False)),))
    assert (await store.load_documents([COUNTER]))[COUNTER].text == b"1"
    await store.commit((PutDocument(COUNTER, b"2", lifetime=Micros(1)),))
    assert await store.sweep_documents(limit=10) == 1
    await store.commit((PutDocument(COUNTER, b"3"),))
    assert (await store.load_documents([COUNTER]))[COUNTER].text == b"3"
