"""Pieces of blobs: files that are whole or absent, whatever happens to the process."""

from __future__ import annotations

import asyncio
import shutil
from itertools import count
from pathlib import Path
from threading import Thread

import pytest

from flowstate_server.errors import LeaseLostError, StoreUnavailableError
from flowstate_server.stores.contract.blobs import BlobPieces, PieceKey
from flowstate_server.stores.contract.writes import RenewLease
from flowstate_server.stores.filesystem import FilesystemStore
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import LEASE, PROCESS, increment, state_of
from tests.stores.filesystem.power import VolatileFiles
from tests.stores.filesystem.script import ADA, opened

FIRST, SECOND = PieceKey("blob_1", 0), PieceKey("blob_1", 1)


def pieces_of(store: Store) -> BlobPieces:
    assert store.pieces is not None
    return store.pieces


async def test_they_are_files_and_go_with_their_folder(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        pieces = pieces_of(store)
        for number in range(12):
            await pieces.put(PieceKey("blob_1", number), b"%d" % number)
        await pieces.put(PieceKey("blob_2", 0), b"other")
        assert (tmp_path / "blobs" / "blob_1" / "11").read_bytes() == b"11"
        numbers = [key.number for key in await pieces.list(after=SECOND, limit=100) if key.blob == "blob_1"]
        assert numbers == [*range(2, 12)]
        assert await pieces.delete("blob_1", limit=10) == 10
        assert await pieces.delete("blob_1", limit=10) == 2
        assert await pieces.delete("blob_1", limit=10) == 0
        assert [path.name for path in (tmp_path / "blobs").iterdir()] == ["blob_2"]


@pytest.mark.parametrize("torn", [False, True], ids=["between", "torn"])
async def test_a_power_cut_leaves_a_piece_whole_or_absent(tmp_path: Path, torn: bool) -> None:
    for operations in count():
        folder, files = tmp_path / str(operations), VolatileFiles()
        store = FilesystemStore(folder, files=files)
        await store.open()
        await pieces_of(store).put(FIRST, b"first" * 100)
        files.crash_after(operations, torn=torn)
        kept = True
        try:
            await pieces_of(store).put(SECOND, b"second" * 100)
        except StoreUnavailableError:
            kept = False
        await store.close()
        files.cut_power(operations)
        async with opened(folder) as again:
            assert await pieces_of(again).read(FIRST) == b"first" * 100
            found = await pieces_of(again).read(SECOND)
            assert found == b"second" * 100 if kept else found in (None, b"second" * 100)
            assert len(await pieces_of(again).list(after=None, limit=9)) == 1 + (found is not None)
        if kept:
            assert operations > 3
            return


async def test_a_store_that_was_taken_away_takes_nothing_more(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path / "store")
    await store.open()
    await store.commit((increment(ADA),))
    shutil.rmtree(tmp_path / "store")
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await store.commit((increment(ADA),))
        with pytest.raises(StoreUnavailableError):
            await pieces_of(store).put(FIRST, b"first")
    await store.close()
    assert not (tmp_path / "store").exists()


async def test_a_lease_is_renewed_while_the_event_loop_is_blocked(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        renewal = store.renewal
        assert renewal is not None
        await store.commit((RenewLease(PROCESS, LEASE, start=True),))
        [before] = await store.read_processes()
        commit = asyncio.create_task(store.commit((increment(ADA),)))
        await asyncio.sleep(0)
        renewing = Thread(target=renewal.renew, args=(PROCESS, LEASE + 1))
        renewing.start()
        renewing.join(30)
        assert not renewing.is_alive()
        await commit
        [after] = await store.read_processes()
        assert (after.lease, after.renew_time > before.renew_time) == (LEASE + 1, True)
        with pytest.raises(LeaseLostError):
            renewal.renew("unknown", LEASE)
    async with opened(tmp_path) as store:
        assert await store.read_processes() == [after]
        assert (await state_of(store, ADA)).version == 1
    with pytest.raises(StoreUnavailableError):
        renewal.renew(PROCESS, LEASE)
