"""The folder as a whole: one process at a time, one format."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from flowstate_server.errors import StoreOpenError, StoreUnreachableError
from flowstate_server.model.json_values import decode_json
from flowstate_server.stores.contract.backend import Presence
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.stores.filesystem.journal import TEMPORARY
from flowstate_server.stores.filesystem.members import file_text

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = "flowstate filesystem store"

MIGRATIONS: tuple[Callable[[Path, Files], None], ...] = ()
"""What makes format 2 of format 1, 3 of 2 and so on, in place. Each may be interrupted and begun again."""

_LOCK = "lock"
_FORMAT = "format.json"
_LOCKED_BYTE = 1 << 20


class FolderLock:
    """Held by one process until it closes it or dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def take(self) -> None:
        """
        Raises:
            StoreUnreachableError: another process has it.
        """
        self._descriptor = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(self._descriptor)
        except OSError as error:
            owner = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise StoreUnreachableError(
                problem=f"{self._folder} is in use by another process (pid {owner}); the filesystem store serves "
                "one process, use sqlite:/// or postgres:// for several"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, b"%d\n" % os.getpid())

    def check(self) -> None:
        """
        Raises:
            OSError: the folder is not the one that was locked any more.
        """
        path = self._folder / _LOCK
        if self._descriptor is None or not os.path.samestat(os.stat(path), os.fstat(self._descriptor)):
            raise FileNotFoundError(
                f"{self._folder} was replaced while it was open: put it back, or restart the server"
            )

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class FolderPresence(Presence):
    """Whoever has the lock of the folder is alone with it: all others are gone."""

    def __init__(self) -> None:
        self._held: set[str] = set()

    def hold(self, process: str) -> None:
        self._held.add(process)

    def known_dead(self, process: str) -> bool:
        return process not in self._held


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        os.lseek(
            descriptor, _LOCKED_BYTE, os.SEEK_SET
        )  # a locked byte can't be read, and the others are to be
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)

else:

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_store(folder: Path) -> bool:
    return (folder / _FORMAT).exists()


def check_ours(folder: Path) -> None:
    """Nothing is written to a folder that holds something else.

    Raises:
        StoreOpenError: it does.
    """
    if folder.exists() and not is_store(folder):
        other = {path.name for path in folder.iterdir()} - {_LOCK, _FORMAT + TEMPORARY}
        if other:
            raise StoreOpenError(problem=f"{folder} is not empty and not a {NAME}: it holds {min(other)!r}")


def known_format(folder: Path, files: Files) -> int:
    """The format of the folder; an empty one is given the newest.

    Raises:
        StoreOpenError: a newer version of FlowState wrote it.
    """
    newest = len(MIGRATIONS) + 1
    path = folder / _FORMAT
    if not path.exists():
        _write_format(path, newest, files)
    found = _format_of(path)
    if found > newest:
        raise StoreOpenError(
            problem=f"{folder} has format {found}, this version knows {newest}; upgrade FlowState"
        )
    return found


def is_of_older_release(found: int) -> bool:
    """Whether :func:`migrate` has something to do."""
    return found <= len(MIGRATIONS)


def migrate(folder: Path, files: Files, found: int) -> None:
    """Bring the folder from format ``found`` to the newest, forward only. Its journal has been replayed."""
    for number, migration in enumerate(MIGRATIONS[found - 1 :], start=found + 1):
        migration(folder, files)
        _write_format(folder / _FORMAT, number, files)


def _format_of(path: Path) -> int:
    try:
        values = decode_json(path.read_bytes())
    except ValueError:
        values = None
    if isinstance(values, dict) and values.get("store") == NAME:
        number = values.get("format")
        if isinstance(number, int) and number >= 1:
            return number
    raise StoreOpenError(problem=f"{path} does not say which format of a {NAME} this is")


def _write_format(path: Path, number: int, files: Files) -> None:
    temporary = path.with_name(path.name + TEMPORARY)
    files.write(temporary, file_text({"store": NAME, "format": number}))
    files.sync(temporary)
    files.rename(temporary, path)
    files.sync_folder(path.parent)
