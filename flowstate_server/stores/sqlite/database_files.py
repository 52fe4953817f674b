"""The files of an open database, and whether they are still where they were opened.

A file that is deleted stays as long as somebody has it open: SQLite would go on to write into it, and acknowledge what
nobody finds again.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import NamedTuple

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.stores.log_throttle import LogThrottle

_log = logging.getLogger(__name__)
_log.addFilter(LogThrottle())

Identities = tuple[tuple[int, int] | None, ...]
"""Device and number of the database, its WAL and its shared memory; ``None`` for one that is not there."""

SETTLED_SECONDS = 0.1
"""What comes or goes within one tick of the kernel's clock, some milliseconds, leaves a folder with the same time."""


class _Folder(NamedTuple):
    device: int
    number: int
    changed: float


class DatabaseFiles:
    def __init__(self, path: Path) -> None:
        real = path.resolve()
        self._path = path
        self._paths = (str(path), f"{real}-wal", f"{real}-shm")
        # A link may come to lead elsewhere.
        self._folder = str(real.parent) if real == path.absolute() else None
        self._unchanged: _Folder | None = None
        self.opened: Identities = ()

    def note(self) -> None:
        """They are open now, all of them, until the last connection is closed."""
        self.opened = self.found()

    def found(self) -> Identities:
        return tuple(map(_identity, self._paths))

    def check(self) -> None:
        """
        Raises:
            StoreUnavailableError: they are not those that were opened; the log says why.
        """
        if not self._are_opened():
            why = (
                f"{self._path} was deleted or replaced while it was open: put it back, or restart the server"
            )
            _log.error("nothing is committed any more: %s", why)
            raise StoreUnavailableError from FileNotFoundError(why)

    def _are_opened(self) -> bool:
        # One look where nothing has come or gone: each lets another thread have the interpreter for a while.
        folder = self._folder and _look_at(self._folder)
        if folder and folder == self._unchanged:
            return True
        if self.found() != self.opened:
            return False
        if folder and time.time() - folder.changed > SETTLED_SECONDS:
            self._unchanged = folder
        return True


def _look_at(folder: str) -> _Folder | None:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return _Folder(found.st_dev, found.st_ino, found.st_mtime)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
