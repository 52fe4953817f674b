"""Large content: bytes in pieces, kept apart from records.

A blob is written once, piece by piece, and never changed. Pieces take no part in commits; what a blob is for is told by
its head, a document, which does (``stores/commit/blob_writes.py`` has the protocol). So a slot for blobs needs neither
transactions nor a clock, only durable pieces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

PIECE_BYTES = 1024 * 1024
"""Bytes of each piece of a blob but its last, which has the rest."""


class PieceKey(NamedTuple):
    """``number`` counts from 0. A blob's id is ours: lower-case letters, digits and ``_``, at most 64 of them."""

    blob: str
    number: int


class BlobPieces(ABC):
    """Keeps the pieces of blobs."""

    @abstractmethod
    async def put(self, key: PieceKey, piece: bytes) -> None:
        """Keep a piece durably. The same piece again is no change: uploads are resumed, on any server."""

    @abstractmethod
    async def read(self, key: PieceKey) -> bytes | None:
        """The piece, ``None`` if there is none."""

    @abstractmethod
    async def delete(self, blob: str, *, limit: int) -> int:
        """Delete up to ``limit`` pieces of a blob; returns how many went, 0 when there are none."""

    @abstractmethod
    async def list(self, *, after: PieceKey | None, limit: int) -> Sequence[PieceKey]:
        """Keys of all pieces in order, from beyond ``after``; for copies, and to find what no head knows."""
