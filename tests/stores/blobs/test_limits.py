"""How large content may be, in how many pieces, and how much of it is in memory at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from flowstate_server.errors import MessageTooLargeError, StoreUnavailableError, ValidationFailedError
from flowstate_server.model.blobs import MAX_BLOB_BYTES, head_key
from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import Tenant
from flowstate_server.stores.blobs import Blobs, BlobTimes
from flowstate_server.stores.blobs.service import MAX_PIECES
from flowstate_server.stores.contract.blob_writes import RequireBlob
from flowstate_server.stores.contract.blobs import PIECE_BYTES, BlobPieces, PieceKey
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.transfer import check_store


class Counted(BlobPieces):
    """Pieces that count what is done to them, and of which some can't be deleted."""

    def __init__(self, pieces: BlobPieces) -> None:
        self._pieces = pieces
        self.reads = 0
        self.stuck: set[str] = set()

    async def put(self, key: PieceKey, piece: bytes) -> bool:
        return await self._pieces.put(key, piece)

    async def read(self, key: PieceKey) -> bytes | None:
        self.reads += 1
        return await self._pieces.read(key)

    async def delete(self, blob: str, *, limit: int) -> int:
        if blob in self.stuck:
            raise StoreUnavailableError
        return await self._pieces.delete(blob, limit=limit)

    async def list(self, *, after: PieceKey | None, limit: int) -> Sequence[PieceKey]:
        return await self._pieces.list(after=after, limit=limit)


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def pieces(store: MemoryStore) -> Counted:
    assert store.pieces is not None
    return Counted(store.pieces)


async def test_content_may_have_so_many_bytes_and_no_more(store: MemoryStore, pieces: Counted) -> None:
    blobs = Blobs(store, pieces)
    key = await blobs.begin(Tenant("tenant"))
    most = bytes(MAX_BLOB_BYTES)
    with pytest.raises(MessageTooLargeError, match="67108865 bytes; the limit is 67108864"):
        await blobs.append(key, 0, most + b"x")
    assert await blobs.append(key, 0, most) == MAX_BLOB_BYTES
    with pytest.raises(MessageTooLargeError):
        await blobs.append(key, MAX_BLOB_BYTES, b"x")
    assert (await blobs.verify(key, size=MAX_BLOB_BYTES)).size == MAX_BLOB_BYTES
    with pytest.raises(MessageTooLargeError, match="the limit is 67108864"):
        await blobs.whole(key.tenant, most + b"x")


async def test_content_may_come_in_so_many_pieces_and_no_more(store: MemoryStore, pieces: Counted) -> None:
    blobs = Blobs(store, pieces)
    key = await blobs.begin(Tenant("tenant"))
    for number in range(MAX_PIECES):
        await blobs.append(key, number, b"x")
    with pytest.raises(ValidationFailedError, match="over 1024 pieces"):
        await blobs.append(key, MAX_PIECES, b"x")
    assert await blobs.received(key) == MAX_PIECES
    await store.commit((await blobs.verify(key, size=MAX_PIECES), RequireBlob(key)))
    assert b"".join([piece async for piece in blobs.read(await blobs.open(key))]) == b"x" * MAX_PIECES


async def test_a_reader_reads_a_piece_when_it_is_asked_for_it(store: MemoryStore, pieces: Counted) -> None:
    blobs = Blobs(store, pieces)
    key = await blobs.begin(Tenant("tenant"))
    await blobs.append(key, 0, bytes(5 * PIECE_BYTES))
    await store.commit((await blobs.verify(key, size=5 * PIECE_BYTES), RequireBlob(key)))
    pieces.reads = 0
    reader = blobs.read(await blobs.open(key), start=3 * PIECE_BYTES + 1)
    for reads in (1, 2):
        await anext(reader)
        assert pieces.reads == reads
    assert [piece async for piece in reader] == []


async def test_content_that_is_missing_is_damage(store: MemoryStore, pieces: Counted) -> None:
    blobs = Blobs(store, pieces)
    key = await blobs.begin(Tenant("tenant"))
    for start in range(0, 9, 3):
        await blobs.append(key, start, b"abc")
    await store.commit((await blobs.verify(key, size=9), RequireBlob(key)))
    assert [line async for line in check_store(store)] == []
    await pieces.delete(key.id, limit=1)
    with pytest.raises(DamagedRecord, match="content is missing") as damage:
        await anext(blobs.read(await blobs.open(key)))
    assert damage.value.key == head_key(key)
    assert [line async for line in check_store(store)] == [
        f"blob {key.id}: its content has another size or checksum"
    ]
    await pieces.delete(key.id, limit=9)
    assert [line async for line in check_store(store)] == [
        f"blob {key.id}: its content is not there; if it is kept in another slot, name that"
    ]


async def test_pieces_that_can_not_be_deleted_hold_up_no_others(store: MemoryStore, pieces: Counted) -> None:
    blobs = Blobs(store, pieces, BlobTimes(upload=Micros(0), doomed=Micros(0)))
    stuck, other = [await blobs.begin(Tenant("tenant")) for _ in range(2)]
    for key in (stuck, other):
        await blobs.append(key, 0, b"content")
    pieces.stuck = {stuck.id}
    assert [await blobs.sweep(limit=10) for _ in range(3)] == [2, 1, 0]
    assert [key.blob for key in await pieces.list(after=None, limit=10)] == [stuck.id]
    pieces.stuck = set()
    assert [await blobs.sweep(limit=10) for _ in range(2)] == [1, 0]
    assert list(await pieces.list(after=None, limit=10)) == []
