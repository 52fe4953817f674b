"""Pieces of blobs, a file each: ``blobs/BLOB/NUMBER``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from flowstate_server.stores.contract.blobs import BlobPieces, PieceKey
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.stores.filesystem.journal import TEMPORARY
from flowstate_server.stores.filesystem.names import file_name, id_of
from flowstate_server.stores.filesystem.worker import Worker


class FolderPieces(BlobPieces):
    """They have a thread of their own: commits do not wait for megabytes."""

    def __init__(self, folder: Path, files: Files, worker: Worker) -> None:
        self._folder = folder
        self._blobs = folder / "blobs"
        self._files = files
        self._worker = worker

    async def put(self, key: PieceKey, piece: bytes) -> bool:
        return await self._worker.run(self._put, self._path(key), piece)

    async def read(self, key: PieceKey) -> bytes | None:
        return await self._worker.run(self._read, self._path(key))

    async def delete(self, blob: str, *, limit: int) -> int:
        return await self._worker.run(self._delete, blob, limit)

    async def list(self, *, after: PieceKey | None, limit: int) -> Sequence[PieceKey]:
        return await self._worker.run(lambda: list(islice(self._keys(after), limit)))

    def _put(self, path: Path, piece: bytes) -> bool:
        self._make_folders(path.parent)
        if path.exists():
            return False
        temporary = path.with_name(path.name + TEMPORARY)
        self._files.write(temporary, piece)
        self._files.sync(temporary)
        self._files.rename(temporary, path)
        self._files.sync_folder(path.parent)
        return True

    def _make_folders(self, folder: Path) -> None:
        if not folder.exists() and self._folder.exists():  # else the whole store was taken away
            self._files.make_folder(folder)
        self._files.sync_folder(self._blobs)
        self._files.sync_folder(self._folder)

    def _read(self, path: Path) -> bytes | None:
        try:
            return self._files.read(path)
        except FileNotFoundError:
            return None

    def _delete(self, blob: str, limit: int) -> int:
        folder = self._blobs / file_name(blob)
        numbers = _numbers(folder)
        for number in numbers[:limit]:
            self._files.remove(folder / str(number))
        if numbers:
            self._files.sync_folder(folder)
        if len(numbers) <= limit and folder.exists():
            self._files.remove_folder(folder)
            self._files.sync_folder(self._blobs)
        return len(numbers[:limit])

    def _keys(self, after: PieceKey | None) -> Iterator[PieceKey]:
        folders = self._blobs.iterdir() if self._blobs.exists() else ()
        for blob in sorted(id_of(folder.name) for folder in folders):
            if after is None or blob >= after.blob:
                keys = (PieceKey(blob, number) for number in _numbers(self._blobs / file_name(blob)))
                yield from (key for key in keys if after is None or key > after)

    def _path(self, key: PieceKey) -> Path:
        return self._blobs / file_name(key.blob) / str(key.number)


def _numbers(folder: Path) -> list[int]:
    names = (path.name for path in folder.iterdir()) if folder.exists() else ()
    return sorted(int(name) for name in names if name.isdecimal())
