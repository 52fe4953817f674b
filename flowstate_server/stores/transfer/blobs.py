"""Pieces of blobs, which a copy carries along, from one slot to another. Their heads are documents like others."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable

from flowstate_server.model.blobs import HEADS, BlobHead, BlobStatus, head_of
from flowstate_server.model.documents import Document
from flowstate_server.stores.contract.blobs import BlobPieces, PieceKey
from flowstate_server.stores.contract.pages import those_understood
from flowstate_server.stores.transfer.pages import side_by_side

PAGE = 16
"""Keys of pieces at a time, 16 MiB of content at most: a copy that stops does little twice."""
ELSEWHERE = "is not there; if it is kept in another slot, name that"


async def piece_pages(
    pieces: BlobPieces | None, after: PieceKey | None = None
) -> AsyncIterator[list[PieceKey]]:
    """The keys of all pieces, page by page."""
    while pieces is not None and (page := list(await pieces.list(after=after, limit=PAGE))):
        yield page
        after = page[-1]


async def copy_pieces(ours: BlobPieces, theirs: BlobPieces, keys: Iterable[PieceKey]) -> None:
    for key in keys:
        piece = await ours.read(key)
        if piece is not None:
            await theirs.put(key, piece)


async def blob_differences(one: BlobPieces | None, other: BlobPieces | None) -> AsyncIterator[str]:
    """The pieces that are not the same in both."""
    async for mine, its in side_by_side(_keys(one), _keys(other), tuple):
        if its is None:
            yield f"{_named(mine)} is missing in the second"
        elif mine is None:
            yield f"{_named(its)} is missing in the first"
        elif one is None or other is None or await one.read(mine) != await other.read(its):
            yield _named(mine)


async def kept_elsewhere(pieces: BlobPieces | None, documents: Iterable[Document]) -> BlobHead | None:
    """A complete blob, among heads and other documents, of which there is no piece at all."""
    for head in complete_blobs(documents):
        if head.size and (pieces is None or not await _has_pieces(pieces, head.key.id)):
            return head
    return None


def complete_blobs(documents: Iterable[Document]) -> list[BlobHead]:
    """Those of the documents that are heads of complete blobs."""
    found = (document for document in documents if document.present and document.key.kind == HEADS)
    heads = those_understood(found, lambda document: document.key, head_of)
    return [head for head in heads if head.status is BlobStatus.COMPLETE]


async def blob_problems(pieces: BlobPieces | None, heads: Iterable[BlobHead]) -> AsyncIterator[str]:
    """Complete blobs whose content is not what their heads say; all of it is read."""
    for head in heads:
        name = f"blob {head.key.id}"
        if head.size and (pieces is None or not await _has_pieces(pieces, head.key.id)):
            yield f"{name}: its content {ELSEWHERE}"
        elif pieces is not None and await _measured(pieces, head) != (head.size, head.sha256):
            yield f"{name}: its content has another size or checksum"


async def _has_pieces(pieces: BlobPieces, blob: str) -> bool:
    first = await pieces.list(after=PieceKey(blob, -1), limit=1)
    return bool(first) and first[0].blob == blob


async def _measured(pieces: BlobPieces, head: BlobHead) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    while size < head.size:
        piece = await pieces.read(PieceKey(head.key.id, size))
        if not piece:
            break
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


async def _keys(pieces: BlobPieces | None) -> AsyncIterator[PieceKey]:
    async for page in piece_pages(pieces):
        for key in page:
            yield key


def _named(key: PieceKey | None) -> str:
    assert key is not None
    return f"piece {key.number} of blob {key.blob}"
