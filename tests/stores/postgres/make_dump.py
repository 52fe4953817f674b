"""Writes the dump of a database of the present schema, for the tests of later ones: ``python -m
tests.stores.postgres.make_dump``. A released dump is never made again."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentKey, DocumentRange, flow_owner, session_owner
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.blobs import PieceKey
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.contract.writes import PutIdempotencyKey
from flowstate_server.stores.postgres import PostgresStore, migrations
from flowstate_server.stores.tables.migrations import migrations_of
from tests.stores.sqlite import batches
from tests.support.postgres_server import PostgresServer

REQUEST = RequestKey(Tenant("acme"), "req_1")
RUNNING = RequestKey(Tenant("acme"), "req_2")
NOTES = DocumentRange(flow_owner("chat"), "note", limit=9)
PIECE = PieceKey("blob_1", 0)


async def fill(store: PostgresStore) -> None:
    """A bit of everything, a NUL among it."""
    await store.commit(batches.start_process())
    await store.commit(batches.create_session())
    for request in (REQUEST, RUNNING):
        await store.commit(batches.create_request(request))
        await store.commit(
            batches.emit(request, batches.delta("\0"), batches.item_done("item_1", b'{"parts":[]}'))
        )
    await store.commit(batches.finish(REQUEST))
    key = PutIdempotencyKey(IdempotencyKey(Tenant("acme"), "u1", "m", "k"), "print", Micros(10**15))
    await store.commit((*batches.add_one(), key))
    for owner in (flow_owner("chat"), session_owner(batches.SESSION, "log-1")):
        await store.commit((PutDocument(DocumentKey(owner, "note", ("\0", "b")), b'"text"'),))
    gone = DocumentKey(flow_owner("chat"), "note", ("gone",))
    await store.commit((PutDocument(gone, b"1"),))
    await store.commit((DeleteDocument(gone, remembered=Micros(10**15)),))
    assert store.pieces is not None
    await store.pieces.put(PIECE, b"\0piece")


async def dump(server: PostgresServer) -> str:
    store = PostgresStore(server.dsn())
    await store.open()
    await fill(store)
    await store.close()
    command = (server.program("pg_dump"), "--inserts", "--no-owner", "--schema=flowstate", server.dsn())
    return await asyncio.to_thread(subprocess.check_output, command, text=True)


def path(number: int) -> Path:
    return Path(__file__).parent / "dumps" / f"schema_{number}.sql"


def main() -> None:
    with PostgresServer.run(16) as server:
        text = asyncio.run(dump(server))
    # The commands of psql and the settings of a newer server are nothing that every version knows.
    kept = [line for line in text.splitlines() if not line.startswith(("\\", "--")) and line]
    file = path(len(migrations_of(migrations.__package__)))
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(kept) + "\n")


if __name__ == "__main__":
    main()
