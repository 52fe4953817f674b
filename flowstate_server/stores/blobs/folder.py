"""Blobs in a folder: ``BLOB/NUMBER``, a file for each piece."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.stores.contract.blobs import BlobPieces, PieceKey
from flowstate_server.stores.log_throttle import LogThrottle

T = TypeVar("T")

_BLOB = re.compile(r"[a-z0-9_]{1,64}")
_PIECE = re.compile(r"[0-9]{8,}")

_log = logging.getLogger(__name__)
_log.addFilter(LogThrottle())


class BlobFolder(BlobPieces):
    """For the slot ``blobs`` of a store profile. The folder is made when the first piece comes.

    Processes of several machines may share it where the file system keeps what ``fsync`` and ``rename`` promise. What
    it holds beside whole pieces, a process has left when it died; it goes with the blob. Once there, a folder that is
    missing, or on another disk, takes and gives nothing until it is back.
    """

    def __init__(self, path: str | Path) -> None:
        self._root = Path(path)
        self._disk: int | None = None

    async def put(self, key: PieceKey, piece: bytes) -> bool:
        return await _run(self._put, self._path(key), piece)

    async def read(self, key: PieceKey) -> bytes | None:
        return await _run(self._read, self._path(key))

    async def delete(self, blob: str, *, limit: int) -> int:
        return await _run(self._delete, self._folder(blob), limit)

    async def list(self, *, after: PieceKey | None, limit: int) -> Sequence[PieceKey]:
        return await _run(lambda: [*islice(self._keys(after), limit)])

    def _read(self, path: Path) -> bytes | None:
        self._check()
        return _read(path)

    def _check(self) -> None:
        """
        Raises:
            OSError: the folder was moved away, or its disk is not mounted any more. A new one in its place would take
                pieces that are gone when the old one is back.
        """
        # Before the look: another thread may make the folder right after it, and note its disk.
        known = self._disk
        try:
            disk = self._root.stat().st_dev
        except FileNotFoundError:
            if known is None:
                return
            raise
        if known is None:  # not by its inode, which some file systems number anew
            self._disk = disk
        elif disk != known:
            raise OSError(
                f"{self._root} is on another disk than before: mount it again, or restart the server"
            )

    def _put(self, path: Path, piece: bytes) -> bool:
        self._check()
        named = False
        if not path.parent.exists():
            _make(path.parent)
        if not path.exists():
            beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
            try:
                _write(beside, piece)
                named = _name(beside, path)
            finally:
                beside.unlink(missing_ok=True)
        # Also for what is there already: whoever has put it may have died before its names were safe.
        _sync(path.parent)
        _sync(self._root)
        with suppress(PermissionError):
            _sync(self._root.parent)
        self._check()
        return named

    def _delete(self, folder: Path, limit: int) -> int:
        self._check()
        pieces = _pieces(folder)
        for name in pieces[:limit]:
            (folder / name).unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # another server deletes the same
            _sync(folder)
            if len(pieces) <= limit:
                for left in _names(folder):
                    (folder / left).unlink(missing_ok=True)
                folder.rmdir()
                _sync(self._root)
        return len(pieces[:limit])

    def _keys(self, after: PieceKey | None) -> Iterator[PieceKey]:
        self._check()
        first = "" if after is None else after.blob
        for blob in sorted(name for name in _names(self._root) if name >= first and _BLOB.fullmatch(name)):
            for name in _pieces(self._root / blob):
                key = PieceKey(blob, int(name))
                if after is None or key > after:
                    yield key

    def _path(self, key: PieceKey) -> Path:
        return self._folder(key.blob) / f"{key.number:08}"

    def _folder(self, blob: str) -> Path:
        if not _BLOB.fullmatch(blob):
            raise ValueError("the id of a blob has 1 to 64 lower-case letters, digits and _")
        return self._root / blob


async def _run(function: Callable[..., T], *args: object) -> T:
    """On a thread: what a caller who is cancelled has begun still ends."""
    try:
        return await asyncio.to_thread(function, *args)
    except OSError as error:
        _log.error("the folder of blobs failed: %s", error)
        raise StoreUnavailableError from error


def _make(folder: Path) -> None:
    if not folder.parent.exists():
        _make(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _write(path: Path, piece: bytes) -> None:
    with path.open("xb") as file:
        file.write(piece)
        file.flush()
        _sync_file(file.fileno())


def _name(beside: Path, path: Path) -> bool:
    """Give what was written its name, which the first of several at once gets; whether it is certain that it did."""
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        return False
    except OSError:  # there are file systems without links
        beside.replace(path)
        return False
    return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _pieces(folder: Path) -> list[str]:
    return sorted((name for name in _names(folder) if _PIECE.fullmatch(name)), key=int)


def _sync(folder: Path) -> None:
    """Windows can't sync the names in a folder, and need not be told to."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _sync_file(descriptor)
        finally:
            os.close(descriptor)


def _sync_file(descriptor: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync leaves it in the drive's own memory there
    else:
        os.fsync(descriptor)
