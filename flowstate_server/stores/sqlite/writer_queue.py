"""Who writes next.

SQLite's own lock is polled: a busy writer starves the other processes for seconds. Two locked files beside the database
make a queue of it: ``next`` lets one at a time wait for ``writer``. The kernel frees both when a process dies.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Self

from flowstate_server.errors import StoreOpenError, StoreUnavailableError

if sys.platform == "win32":
    import msvcrt
else:
    from fcntl import LOCK_EX, LOCK_UN, flock


class WriterQueue:
    """One place in the queue; a context manager that blocks its thread until it may write.

    Windows has no ``flock``: there the first process keeps the place, and a second one is refused.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._next = _open(database, "next")
        try:
            self._writer = _open(database, "writer")
        except BaseException:
            os.close(self._next)
            raise
        self._keep_on_windows()

    def close(self) -> None:
        os.close(self._next)
        os.close(self._writer)

    if sys.platform == "win32":

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def _keep_on_windows(self) -> None:
            try:
                msvcrt.locking(self._writer, msvcrt.LK_NBLCK, 1)
            except OSError as error:
                self.close()
                problem = f"{self._database} is in use, and Windows can't share it between processes"
                raise StoreOpenError(problem=problem) from error

    else:

        def __enter__(self) -> Self:
            try:
                flock(self._next, LOCK_EX)
                try:
                    flock(self._writer, LOCK_EX)
                finally:
                    flock(self._next, LOCK_UN)
            except OSError as error:
                raise StoreUnavailableError from error
            return self

        def __exit__(self, *_: object) -> None:
            flock(self._writer, LOCK_UN)

        def _keep_on_windows(self) -> None:
            pass


def _open(database: Path, name: str) -> int:
    return os.open(f"{database}-{name}", os.O_RDWR | os.O_CREAT, 0o644)
