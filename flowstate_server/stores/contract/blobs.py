"""Large content: bytes in pieces, kept apart from records.

A blob is written once, piece by piece, and never changed. Pieces take no part in commits; what a blob is for is told by
its head, a document, which does (``stores/blobs/README.md`` draws the protocol). So a slot for blobs needs neither
transactions nor a clock, only durable pieces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

PIECE_BYTES = 1024 * 1024
"""Most bytes of a piece."""


class PieceKey(NamedTuple):
    """``number`` is that of the byte with which the piece begins, from 0. A blob's id is ours: lower-case letters,
    digits and ``_``, at most 64 of them."""

    blob: str
    number: int


class BlobPieces(ABC):
    """Keeps the pieces of blobs."""

    @abstractmethod
    async def put(self, key: PieceKey, piece: bytes) -> bool:
        """Keep a piece durably. One that is there already stays as it is, whatever comes: uploads are repeated, on any
        server, and a call that was given up may still arrive. Returns whether it is certain that there was none: then
        nobody has to read what was put."""

    @abstractmethod
    async def read(self, key: PieceKey) -> bytes | None:
        """The piece, ``None`` if there is none."""

    @abstractmethod
    async def delete(self, blob: str, *, limit: int) -> int:
        """Delete up to ``limit`` pieces of a blob; returns how many went, 0 when there are none."""

    @abstractmethod
    async def list(self, *, after: PieceKey | None, limit: int) -> Sequence[PieceKey]:
        """Keys of all pieces in order, from beyond ``after``, whose number may be -1: from a blob's first piece on."""
