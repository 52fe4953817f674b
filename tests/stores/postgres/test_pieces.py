from __future__ import annotations

from flowstate_server.stores.contract.blobs import PIECE_BYTES, PieceKey
from flowstate_server.stores.postgres import PostgresStore
from tests.support.postgres_server import fetch


async def test_postgres_does_not_compress_pieces(store: PostgresStore, dsn: str) -> None:
    assert store.pieces is not None
    await store.pieces.put(PieceKey("blob_1", 0), bytes(PIECE_BYTES))
    assert await fetch(dsn, "SELECT pg_column_size(piece) FROM flowstate.blob_pieces") == [(PIECE_BYTES,)]
