"""Pieces of large content, as rows of their own."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.stores.contract.blobs import BlobPieces, PieceKey
from flowstate_server.stores.postgres.connections import Connections

PUT = "INSERT INTO flowstate.blob_pieces (blob, number, piece) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1"
READ = "SELECT piece FROM flowstate.blob_pieces WHERE blob = $1 AND number = $2"
DELETE = (
    "WITH gone AS (DELETE FROM flowstate.blob_pieces WHERE blob = $1 AND number = ANY (ARRAY"
    "(SELECT number FROM flowstate.blob_pieces WHERE blob = $1 ORDER BY number LIMIT $2)) RETURNING 1)"
    " SELECT count(*) FROM gone"
)
LIST = "SELECT blob, number FROM flowstate.blob_pieces WHERE (blob, number) > ($1, $2) ORDER BY blob, number LIMIT $3"


class PostgresBlobPieces(BlobPieces):
    """On the connections of readers: uploads, large and slow, never hold up a group."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def put(self, key: PieceKey, piece: bytes) -> bool:
        return bool(await self._connections.fetch(PUT, *key, piece))

    async def read(self, key: PieceKey) -> bytes | None:
        for (piece,) in await self._connections.fetch(READ, *key):
            return bytes(piece)
        return None

    async def delete(self, blob: str, *, limit: int) -> int:
        [(count,)] = await self._connections.fetch(DELETE, blob, limit)
        return int(count)

    async def list(self, *, after: PieceKey | None, limit: int) -> Sequence[PieceKey]:
        found = await self._connections.fetch(LIST, *(after or ("", -1)), limit)
        return [PieceKey(*row) for row in found]
