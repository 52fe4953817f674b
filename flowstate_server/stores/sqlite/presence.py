"""Who has a database open: each store by a file of its own beside it, which it keeps locked.

The kernel unlocks the file when the process dies, so that the others of its machine know at once.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from flowstate_server.errors import StoreOpenError
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.stores.contract.backend import Presence
from flowstate_server.stores.sqlite.database_files import DatabaseFiles

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock

FORGET_SECONDS = 60.0
"""How long the file of a dead process stays after it was found out: long enough to fence what it ran."""


class SqlitePresence(Presence):
    def __init__(self, database: Path, files: DatabaseFiles) -> None:
        self._prefix = f"{database.resolve()}-open-"
        self._files = files
        self._path = Path(f"{self._prefix}{secrets.token_hex(8)}")
        self._descriptor: int | None = None
        self._processes: list[str] = []
        self._found_dead: dict[Path, float] = {}

    def open(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        flock(self._descriptor, LOCK_EX)
        self._write()

    def close(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def hold(self, process: str) -> None:
        self._processes.append(process)
        self._write()

    def known_dead(self, process: str) -> bool:
        for path, said in self._others():
            if process in said.processes:
                return said.free and said.machine is not None and said.machine == _machine()
            self._tidy(path, said)
        return False

    def check_files(self) -> None:
        """
        Raises:
            StoreOpenError: somebody has the database open whose files were taken away: theirs is the newer history.
        """
        found = self._files.found()
        for _, said in self._others():
            if not said.free and said.files and said.files != found:
                problem = (
                    f"it was deleted or replaced while another process (pid {said.pid}) had it open, and still has:"
                    " put it back, or stop that process first"
                )
                raise StoreOpenError(problem=problem)

    def _write(self) -> None:
        said = {
            "pid": os.getpid(),
            "machine": _machine(),
            "files": [None if file is None else [*file] for file in self._files.opened],
            "processes": self._processes,
        }
        if self._descriptor is not None:
            with suppress(OSError):  # the others wait for the lease
                os.pwrite(self._descriptor, encode_json(said), 0)

    def _others(self) -> Iterator[tuple[Path, _Said]]:
        folder, _, name = self._prefix.rpartition("/")
        for path in Path(folder).iterdir():
            if path.name.startswith(name) and path != self._path:
                said = _said(path)
                if said is not None:
                    yield path, said

    def _tidy(self, path: Path, said: _Said) -> None:
        """Of a dead process nothing is asked once its requests have ended."""
        if said.free:
            since = self._found_dead.setdefault(path, time.monotonic())
            if time.monotonic() - since > FORGET_SECONDS:
                path.unlink(missing_ok=True)


class _Said(NamedTuple):
    """What a file says, and whether nobody holds it any more."""

    free: bool
    pid: Any
    machine: Any
    files: Any
    processes: Any


def _said(path: Path) -> _Said | None:
    """``None``: it is just being made, or gone."""
    try:
        with closing(open(path, "rb")) as file:
            free = True
            try:
                flock(file, LOCK_SH | LOCK_NB)
            except BlockingIOError:
                free = False
            said: Any = decode_json(file.read())
    except (OSError, ValueError):
        return None
    try:
        files = tuple(None if file is None else tuple(file) for file in said["files"])
        return _Said(free, said["pid"], said["machine"], files, said["processes"])
    except (TypeError, KeyError):
        return None


@cache
def _machine() -> str | None:
    """This boot of this machine, and this space of process ids: elsewhere a lock that looks free need not be."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None
