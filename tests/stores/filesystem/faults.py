"""Files whose operations fail."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from flowstate_server.stores.filesystem.files import Files


class FaultyFiles(Files):
    """Does as it is told until :meth:`fail` is called. Counts its writing operations."""

    def __init__(self) -> None:
        self.operations = 0
        self._fails: Callable[[int], int | None] = lambda _: None
        self._torn = False

    def crash_after(self, operations: int, *, torn: bool = False) -> None:
        """The process dies after so many more operations, in the middle of the next one if ``torn``."""
        last = self.operations + operations
        self._fails = lambda number: errno.EIO if number > last else None
        self._torn = torn

    def fail(self, *numbers: int, error: int = errno.ENOSPC, torn: bool = False) -> None:
        """The operations of these numbers fail, counted from the next, 0."""
        failing = {self.operations + number + 1 for number in numbers}
        self._fails = lambda number: error if number in failing else None
        self._torn = torn

    def fill(self) -> None:
        """From now on nothing more can be written."""
        self._fails = lambda _: errno.ENOSPC

    def heal(self) -> None:
        self._fails = lambda _: None

    def write(self, path: Path, text: bytes) -> None:
        self._count(lambda: super(FaultyFiles, self).write(path, text[: len(text) // 2]))
        super().write(path, text)

    def write_at(self, path: Path, at: int, text: bytes) -> None:
        self._count(lambda: super(FaultyFiles, self).write_at(path, at, text[: len(text) // 2]))
        super().write_at(path, at, text)

    def rename(self, old: Path, new: Path) -> None:
        self._count()
        super().rename(old, new)

    def remove(self, path: Path) -> None:
        self._count()
        super().remove(path)

    def make_folder(self, path: Path) -> None:
        self._count()
        super().make_folder(path)

    def sync(self, path: Path) -> None:
        self._count()
        super().sync(path)

    def sync_folder(self, path: Path) -> None:
        self._count()
        super().sync_folder(path)

    def _count(self, tear: Callable[[], None] = lambda: None) -> None:
        self.operations += 1
        number = self._fails(self.operations)
        if number is not None:
            if self._torn:
                self._torn = False
                tear()
            raise OSError(number, os.strerror(number))
