"""What the store does to its files. Blocking; every failure is an ``OSError``."""

from __future__ import annotations

import os
import sys
from pathlib import Path


class Files:
    """The one seam between the store and the disk: tests put another one here, whose operations fail."""

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def write(self, path: Path, text: bytes) -> None:
        """Write a whole file, made or replaced in place."""
        with path.open("wb") as file:
            file.write(text)

    def write_at(self, path: Path, at: int, text: bytes) -> None:
        """Cut the file at offset ``at`` and append."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        with open(descriptor, "wb") as file:
            file.truncate(at)
            file.seek(at)
            file.write(text)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file the place of another, if there is one."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Remove a file if it is there."""
        path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()

    def make_folder(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def sync(self, path: Path) -> None:
        """Force a file's content to the disk."""
        descriptor = os.open(path, os.O_RDWR)
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Force the names in a folder to the disk. Windows can't and need not be told to."""
        if sys.platform != "win32":
            descriptor = os.open(path, os.O_RDONLY)
            try:
                _sync(descriptor)
            finally:
                os.close(descriptor)


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync leaves it in the drive's own memory there
    else:
        os.fsync(descriptor)
