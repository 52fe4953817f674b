"""Pieces of blobs, which a copy carries along. Their heads are documents like others."""

from __future__ import annotations

from collections.abc import AsyncIterator

from flowstate_server.stores.contract.blobs import BlobPieces, PieceKey
from flowstate_server.stores.transfer.pages import side_by_side

PAGE = 16


async def piece_pages(
    pieces: BlobPieces | None, after: PieceKey | None = None
) -> AsyncIterator[list[PieceKey]]:
    """The keys of all pieces, page by page."""
    while pieces is not None and (page := list(await pieces.list(after=after, limit=PAGE))):
        yield page
        after = page[-1]


async def blob_differences(one: BlobPieces | None, other: BlobPieces | None) -> AsyncIterator[str]:
    """The pieces that are not the same in both."""
    async for mine, its in side_by_side(_keys(one), _keys(other), tuple):
        if its is None:
            yield f"{_named(mine)} is missing in the second"
        elif mine is None:
            yield f"{_named(its)} is missing in the first"
        elif one is None or other is None or await one.read(mine) != await other.read(its):
            yield _named(mine)


async def _keys(pieces: BlobPieces | None) -> AsyncIterator[PieceKey]:
    async for page in piece_pages(pieces):
        for key in page:
            yield key


def _named(key: PieceKey | None) -> str:
    assert key is not None
    return f"piece {key.number} of blob {key.blob}"
