"""Whether an upload is read before it is complete: not by whoever has put all of its pieces."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flowstate_server.errors import ValidationFailedError
from flowstate_server.model.blobs import BlobKey
from flowstate_server.model.identity import Tenant
from flowstate_server.stores.blobs import BlobFolder, Blobs, service
from flowstate_server.stores.contract.blobs import PieceKey
from flowstate_server.stores.memory import MemoryStore
from tests.stores.adapters import ADAPTERS
from tests.stores.blobs.test_limits import Counted

PARTS = (b"one, ", b"two, ", b"three")
WHOLE = b"".join(PARTS)
SHA256 = hashlib.sha256(WHOLE).hexdigest()


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


async def uploaded(*servers: Blobs) -> BlobKey:
    """An upload whose parts come to the servers in turn."""
    key = await servers[0].begin(Tenant("tenant"))
    position = 0
    for number, part in enumerate(PARTS):
        position = await servers[number % len(servers)].append(key, position, part)
    assert position == len(WHOLE)
    return key


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_every_adapter_tells_who_was_first(adapter: str, tmp_path: Path) -> None:
    async with ADAPTERS[adapter](tmp_path) as harness:
        pieces = (await harness.open()).pieces
        assert pieces is not None
        assert [await pieces.put(PieceKey("blob_1", 0), b"x") for _ in range(2)] == [True, False]


async def test_a_folder_tells_who_was_first(tmp_path: Path) -> None:
    pieces = BlobFolder(tmp_path)
    assert [await pieces.put(PieceKey("blob_1", 0), b"x") for _ in range(2)] == [True, False]


async def test_what_was_put_from_here_is_not_read_again(store: MemoryStore, pieces: Counted) -> None:
    blobs = Blobs(store, pieces)
    key = await uploaded(blobs)
    assert (await blobs.verify(key, size=len(WHOLE))).sha256 == SHA256
    assert pieces.reads == 0


async def test_what_was_put_from_several_servers_is_read(store: MemoryStore, pieces: Counted) -> None:
    servers = Blobs(store, pieces), Blobs(store, pieces)
    key = await uploaded(*servers)
    for blobs in servers:
        pieces.reads = 0
        assert (await blobs.verify(key, size=len(WHOLE))).sha256 == SHA256
        assert pieces.reads == len(PARTS)


async def test_what_was_forgotten_is_read(
    store: MemoryStore, pieces: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REMEMBERED", 1)
    blobs = Blobs(store, pieces)
    key = await uploaded(blobs)
    await uploaded(blobs)
    assert (await blobs.verify(key, size=len(WHOLE))).sha256 == SHA256
    assert pieces.reads == len(PARTS)


async def test_a_piece_that_was_there_first_counts(store: MemoryStore, pieces: Counted) -> None:
    blobs = Blobs(store, pieces)
    key = await blobs.begin(Tenant("tenant"))
    await pieces.put(PieceKey(key.id, 0), b"one, two, ")
    assert await blobs.append(key, 0, b"another one") == 10
    assert await blobs.append(key, 10, b"three") == len(WHOLE)
    assert (await blobs.verify(key, size=len(WHOLE), sha256=SHA256)).sha256 == SHA256


async def test_a_piece_that_came_from_elsewhere_is_seen(store: MemoryStore, pieces: Counted) -> None:
    blobs = Blobs(store, pieces)
    key = await uploaded(blobs)
    await pieces.put(PieceKey(key.id, len(WHOLE)), b", and more")
    with pytest.raises(ValidationFailedError, match="another size"):
        await blobs.verify(key, size=len(WHOLE))
