"""Pieces of blobs, in a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest
from itertools import islice

from flowstate_server.stores.contract.blobs import BlobPieces, PieceKey


class MemoryPieces(BlobPieces):
    def __init__(self) -> None:
        self._pieces: dict[PieceKey, bytes] = {}

    async def put(self, key: PieceKey, piece: bytes) -> bool:
        if key in self._pieces:
            return False
        self._pieces[key] = bytes(piece)
        return True

    async def read(self, key: PieceKey) -> bytes | None:
        return self._pieces.get(key)

    async def delete(self, blob: str, *, limit: int) -> int:
        keys = list(islice((key for key in self._pieces if key.blob == blob), limit))
        for key in keys:
            del self._pieces[key]
        return len(keys)

    async def list(self, *, after: PieceKey | None, limit: int) -> Sequence[PieceKey]:
        keys = self._pieces if after is None else (key for key in self._pieces if key > after)
        return nsmallest(limit, keys)
