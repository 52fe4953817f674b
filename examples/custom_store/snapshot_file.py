"""The file: replaced as a whole by each commit, one writer at a time, in this process or another."""

from __future__ import annotations

import fcntl
import os
import pickle
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.custom_store.snapshot import Snapshot
from flowstate_server.errors import StoreOpenError, StoreUnavailableError

_HEADER = struct.Struct(">8sIQ")
"""A mark, the format, and the number of the newest commit."""
_MARK = b"FLOWSNAP"
_FORMAT = 1


class SnapshotFile:
    """Its methods block; call them in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._newest = Snapshot()

    def create(self) -> None:
        """Make the file if there is none.

        Raises:
            StoreOpenError: it can't be made, or is something else.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self.locked():
                if not self._path.exists():
                    self.write(Snapshot())
                self.read()
        except (OSError, StoreUnavailableError) as error:
            raise StoreOpenError(f"{self._path}: {error.__cause__ or error}") from error

    def read(self) -> Snapshot:
        """The newest snapshot. The number in front tells whether that is the one that was read or written last."""
        with _translated(), self._path.open("rb") as file:
            mark, version, commit = _HEADER.unpack(file.read(_HEADER.size))
            if (mark, version) != (_MARK, _FORMAT):
                raise StoreUnavailableError from ValueError("not a snapshot of this format")
            newest = self._newest
            if newest.commit != commit:
                newest = self._newest = pickle.load(file)
            return newest

    def write(self, snapshot: Snapshot) -> None:
        """Durable when it returns. Only for who has :meth:`locked` the file."""
        aside = self._path.with_name(f"{self._path.name}-next")
        with _translated():
            with aside.open("wb") as file:
                file.write(_HEADER.pack(_MARK, _FORMAT, snapshot.commit))
                pickle.dump(snapshot, file, protocol=pickle.HIGHEST_PROTOCOL)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._path)
            _sync_folder(self._path.parent)
        self._newest = snapshot

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes meanwhile. The kernel unlocks when a process dies."""
        with _translated():
            lock = os.open(self._path.with_name(f"{self._path.name}-lock"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)


@contextmanager
def _translated() -> Iterator[None]:
    """No error of the file system, or of pickle, leaves the store raw."""
    try:
        yield
    except (OSError, pickle.UnpicklingError, EOFError, struct.error) as error:
        raise StoreUnavailableError from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
