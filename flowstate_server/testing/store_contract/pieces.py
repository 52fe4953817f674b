"""Pieces of blobs: durable, read by number, listed in order, deleted in bounded batches."""

from __future__ import annotations

import asyncio

from flowstate_server.stores.contract.blobs import PIECE_BYTES, BlobPieces, PieceKey
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.harness import NotProvided, StoreHarness


def pieces_of(store: Store) -> BlobPieces:
    """Where the store keeps pieces; a check of one that keeps none does not apply."""
    if store.pieces is None:
        raise NotProvided("the store keeps no blobs")
    return store.pieces


async def check_pieces_are_kept_as_put(harness: StoreHarness) -> None:
    """Pieces come back to the byte, empty and whole ones; what was never put is absent."""
    pieces = pieces_of(await harness.open())
    wanted = {
        PieceKey("blob_1", 0): b"",
        PieceKey("blob_1", 1): bytes(range(256)),
        PieceKey("blob_2", 0): b"x" * PIECE_BYTES,
        PieceKey("blob_10", 11): b"\0",
    }
    for key, piece in wanted.items():
        await pieces.put(key, piece)
    for key, piece in wanted.items():
        assert await pieces.read(key) == piece
    for absent in (PieceKey("blob_1", 2), PieceKey("blob", 0), PieceKey("blob_3", 0)):
        assert await pieces.read(absent) is None


async def check_pieces_may_be_put_again(harness: StoreHarness) -> None:
    """A piece that comes again, also at once from several uploads, is there once; at most one is told it was first."""
    pieces = pieces_of(await harness.open())
    key = PieceKey("blob_1", 0)
    assert sum(await asyncio.gather(*(pieces.put(key, b"same") for _ in range(5)))) <= 1
    assert not await pieces.put(key, b"same")
    assert await pieces.read(key) == b"same"
    assert list(await pieces.list(after=None, limit=10)) == [key]


async def check_a_piece_that_is_there_stays(harness: StoreHarness) -> None:
    """Whatever comes later under the key of a piece, the piece stays as it is."""
    pieces = pieces_of(await harness.open())
    key = PieceKey("blob_1", 0)
    await pieces.put(key, b"first")
    for other in (b"", b"a longer one", b"FIRST"):
        assert not await pieces.put(key, other)
    assert await pieces.read(key) == b"first"
    await asyncio.gather(*(pieces.put(PieceKey("blob_2", 0), bytes((number,))) for number in range(5)))
    kept = await pieces.read(PieceKey("blob_2", 0))
    assert kept in {bytes((number,)) for number in range(5)}
    await pieces.put(PieceKey("blob_2", 0), b"late")
    assert await pieces.read(PieceKey("blob_2", 0)) == kept


async def check_pieces_are_listed_in_order(harness: StoreHarness) -> None:
    """Keys of all pieces are listed by blob and number, in pages that can be gone on with anywhere."""
    pieces = pieces_of(await harness.open())
    keys = [
        PieceKey(blob, number) for blob in ("a", "a_", "b", "b1") for number in (0, 1, 2, 10, PIECE_BYTES)
    ]
    for key in reversed(keys):
        await pieces.put(key, b"x")
    assert list(await pieces.list(after=None, limit=100)) == keys
    for position, key in enumerate(keys):
        assert list(await pieces.list(after=key, limit=3)) == keys[position + 1 : position + 4]
    assert list(await pieces.list(after=PieceKey("b", -1), limit=5)) == keys[10:15]


async def check_pieces_are_deleted_in_batches(harness: StoreHarness) -> None:
    """A blob's pieces go in bounded batches; those of others stay."""
    pieces = pieces_of(await harness.open())
    for number in range(5):
        await pieces.put(PieceKey("gone", number), b"x")
        await pieces.put(PieceKey("gone_2", number), b"x")
    assert [await pieces.delete("gone", limit=2) for _ in range(4)] == [2, 2, 1, 0]
    left = await pieces.list(after=None, limit=100)
    assert list(left) == [PieceKey("gone_2", number) for number in range(5)]
    await pieces.put(PieceKey("gone", 0), b"again")
    assert await pieces.read(PieceKey("gone", 0)) == b"again"


async def check_pieces_outlive_their_handle(harness: StoreHarness) -> None:
    """A piece that was put is there when the data is opened again."""
    store = await harness.open()
    pieces = pieces_of(store)
    await pieces.put(PieceKey("blob_1", 0), b"x" * 1000)
    again = pieces_of(await harness.reopen(store))
    assert await again.read(PieceKey("blob_1", 0)) == b"x" * 1000


async def check_pieces_are_seen_by_other_handles(harness: StoreHarness) -> None:
    """A piece that was put through one handle is read through another."""
    one, other = pieces_of(await harness.open()), pieces_of(await harness.open())
    await one.put(PieceKey("blob_1", 0), b"x")
    assert await other.read(PieceKey("blob_1", 0)) == b"x"
    assert await other.delete("blob_1", limit=10) == 1
    assert await one.read(PieceKey("blob_1", 0)) is None
