"""The folder of blobs: files that are whole, safe and the first of their name; trouble that is told."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.stores.blobs import BlobFolder, folder
from flowstate_server.stores.contract.blobs import PieceKey

KEY = PieceKey("blob_1", 0)


def files_in(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


async def test_a_piece_is_a_file_of_its_own(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path / "blobs")
    await blobs.put(KEY, b"first")
    await blobs.put(PieceKey("blob_1", 5), b"second")
    assert files_in(tmp_path) == ["blobs/blob_1/00000000", "blobs/blob_1/00000005"]
    assert (tmp_path / "blobs/blob_1/00000005").read_bytes() == b"second"


@pytest.mark.parametrize("repeated", [False, True])
async def test_a_piece_and_its_names_are_on_the_disk_before_it_is_put(
    repeated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = BlobFolder(tmp_path / "blobs")
    if repeated:
        await blobs.put(KEY, b"piece")
    done: list[str] = []
    fsync, write, sync = os.fsync, folder._write, folder._sync

    def forcing(descriptor: int) -> None:
        done.append("piece")
        fsync(descriptor)

    def writing(path: Path, piece: bytes) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", forcing)
            write(path, piece)

    def syncing(path: Path) -> None:
        done.append(path.relative_to(tmp_path).as_posix())
        sync(path)

    monkeypatch.setattr(folder, "_write", writing)
    monkeypatch.setattr(folder, "_sync", syncing)
    await blobs.put(KEY, b"piece")
    assert done[-3:] == ["blobs/blob_1", "blobs", "."]
    assert done[:-3] == ([] if repeated else [".", "blobs", "piece"])


@pytest.mark.parametrize("links", [True, False])
async def test_of_two_pieces_at_once_the_first_stays_and_nothing_else(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, write = BlobFolder(tmp_path), folder._write

    def overtaken(path: Path, piece: bytes) -> None:
        write(path, piece)
        if piece == b"late":
            write(tmp_path / "blob_1/00000000", b"first")

    def refusing(*_: object) -> None:
        raise PermissionError("no links here")

    if links:
        monkeypatch.setattr(folder, "_write", overtaken)
    else:
        monkeypatch.setattr(Path, "hardlink_to", refusing)
        await blobs.put(KEY, b"first")
    await blobs.put(KEY, b"late")
    assert await blobs.read(KEY) == b"first"
    assert files_in(tmp_path) == ["blob_1/00000000"]


@pytest.mark.parametrize("does", ["put", "read"])
async def test_of_two_who_find_no_folder_the_later_one_goes_on_with_that_of_the_first(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, root, stat = BlobFolder(tmp_path / "blobs"), tmp_path / "blobs", Path.stat
    waiting = [PieceKey("blob_2", 0)]

    def seen_before(path: Path, **options: Any) -> os.stat_result:
        try:
            return stat(path, **options)
        except FileNotFoundError:
            if path == root and waiting:
                blobs._put(blobs._path(waiting.pop()), b"first")
            raise

    monkeypatch.setattr(Path, "stat", seen_before)
    if does == "put":
        assert await blobs.put(KEY, b"later")
    else:
        assert await blobs.read(KEY) is None
    assert not waiting
    assert await blobs.read(PieceKey("blob_2", 0)) == b"first"


async def test_a_piece_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blobs = BlobFolder(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(folder, "_sync_file", full)
        with pytest.raises(StoreUnavailableError):
            await blobs.put(KEY, b"piece")
    assert "No space left on device" in caplog.text
    assert files_in(tmp_path) == []
    await blobs.put(KEY, b"piece")
    assert await blobs.read(KEY) == b"piece"


async def test_what_a_dead_process_left_is_no_piece_and_goes_with_the_blob(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    await blobs.put(KEY, b"piece")
    (tmp_path / "blob_1/00000005.0a1b2c3d.part").write_bytes(b"half a pie")
    (tmp_path / "README.txt").write_text("not a blob")
    assert list(await blobs.list(after=None, limit=10)) == [KEY]
    assert await blobs.read(PieceKey("blob_1", 5)) is None
    assert await blobs.delete("blob_1", limit=10) == 1
    assert files_in(tmp_path) == ["README.txt"]
    assert not (tmp_path / "blob_1").exists()


async def test_deletes_at_once_do_no_harm(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    for number in range(20):
        await blobs.put(PieceKey("blob_1", number), b"x")
    await asyncio.gather(*(blobs.delete("blob_1", limit=limit) for limit in (3, 5, 20, 20, 20)))
    assert await blobs.delete("blob_1", limit=20) == 0
    assert list(await blobs.list(after=None, limit=10)) == []


@pytest.mark.parametrize("blob", ["", "..", "a/b", "A", "a.b", "a" * 65, "ä", "a\0"])
async def test_an_id_that_is_none_reaches_no_file(blob: str, tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path / "blobs")
    for call in (
        blobs.put(PieceKey(blob, 0), b"x"),
        blobs.read(PieceKey(blob, 0)),
        blobs.delete(blob, limit=1),
    ):
        with pytest.raises(ValueError, match="the id of a blob"):
            await call
    assert files_in(tmp_path) == []


async def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    blobs = BlobFolder(tmp_path / "file")
    with pytest.raises(StoreUnavailableError):
        await blobs.put(KEY, b"x")


async def test_nothing_is_put_or_read_while_the_folder_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As where its disk is not mounted: what was put elsewhere would be gone when it is back."""
    root = tmp_path / "blobs"
    blobs = BlobFolder(root)
    assert await blobs.read(KEY) is None
    assert await blobs.list(after=None, limit=10) == []
    await blobs.put(KEY, b"piece")
    root.rename(tmp_path / "away")
    for call in (
        lambda: blobs.put(PieceKey("blob_2", 0), b"lost"),
        lambda: blobs.read(KEY),
        lambda: blobs.list(after=None, limit=10),
        lambda: blobs.delete("blob_1", limit=10),
    ):
        with pytest.raises(StoreUnavailableError):
            await call()
    assert not root.exists()
    assert str(root) in caplog.text
    (tmp_path / "away").rename(root)
    assert await blobs.read(KEY) == b"piece"
    await blobs.put(PieceKey("blob_2", 0), b"kept")
    assert len(await blobs.list(after=None, limit=10)) == 2


async def test_nothing_is_put_on_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "blobs"
    blobs = BlobFolder(root)
    await blobs.put(KEY, b"piece")
    real = Path.stat

    def elsewhere(path: Path, **terms: Any) -> Any:
        found = real(path, **terms)
        return SimpleNamespace(st_dev=found.st_dev + 1, st_mode=found.st_mode)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", elsewhere)
        with pytest.raises(StoreUnavailableError):
            await blobs.put(PieceKey("blob_2", 0), b"lost")
        with pytest.raises(StoreUnavailableError):
            await blobs.read(KEY)
    assert files_in(root) == ["blob_1/00000000"]
    assert await blobs.read(KEY) == b"piece"
