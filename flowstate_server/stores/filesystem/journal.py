"""The journal: what makes a group of file changes whole and durable at the price of one fsync.

A line is ``length checksum operations``. The operations say which bytes are where, not what they mean, so that to do
them again, in order and from the first, always ends in the same files, whatever became of these meanwhile.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, cast
from zlib import crc32

from flowstate_server.errors import StoreOpenError
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json, decode_json, encode_json
from flowstate_server.stores.filesystem.files import Files

LIMIT = 1024 * 1024
"""Bytes of journal after which the files are forced to the disk and it begins anew."""

TEMPORARY = ".tmp"

_log = logging.getLogger(__name__)


@frozen
class Put:
    """Write a whole file, in place of the one that may be there."""

    path: PurePosixPath
    text: bytes


@frozen
class Append:
    """Cut a log at ``at`` bytes and append ``text``."""

    path: PurePosixPath
    at: int
    text: bytes


@frozen
class Remove:
    """Remove a file, if it is there."""

    path: PurePosixPath


Operation = Put | Append | Remove


class Journal:
    """Changes the files of one folder. Used on one thread.

    A group is *staged* first (new files beside the old, lines beyond the known end of a log: nobody sees them, and
    what is too much for the disk fails here), then written to the journal, then *settled* by renames, which need no
    room. Once it is in the journal it is committed; a rename that fails is owed, and nothing more is written before it
    is paid.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._path = folder / "journal.jsonl"
        self._length = 0
        self._owed: deque[Callable[[], None]] = deque()
        self._uncertain = False
        self._suspect = False
        self._changed: set[Path] = set()
        self._folders: set[Path] = set()

    def open(self) -> None:
        """Do again what an earlier process may not have brought to the disk.

        Raises:
            StoreOpenError: a line is damaged that is not the last.
        """
        if self._path.exists():
            self._length = self._replay()
        self._uncertain = True
        self.settle()
        self._files.sync_folder(self._folder)
        self.checkpoint()

    def commit(self, operations: Sequence[Operation]) -> None:
        """Do all ``operations`` durably, or none of them.

        Raises:
            OSError: none was done, or the disk fails so badly that only the next opening tells.
            ValueError: text that can't be written as UTF-8; none was done.
        """
        self.settle()
        text = _line(operations)
        done = [self._stage(operation) for operation in operations]
        try:
            self._files.write_at(self._path, self._length, text)
            self._files.sync(self._path)
        except OSError:
            self._uncertain = True
            with suppress(OSError):
                self.settle()
            raise
        self._length += len(text)
        self._owed.extend(one for one in done if one is not None)
        self._pay()
        if self._length > LIMIT:
            try:
                self.checkpoint()
            except OSError as error:
                _log.warning("the journal could not be cut and goes on: %s", error)

    def replace(self, path: PurePosixPath, text: bytes) -> None:
        """Replace a log by a shorter one, outside the journal: all or nothing, and durable once it is settled.

        Raises:
            OSError: nothing was done.
        """
        self.checkpoint()  # or a replay would append at places of the longer log
        target = self._folder / path
        temporary = _temporary(target)
        self._files.write(temporary, text)
        self._files.sync(temporary)
        self._owed.append(partial(self._files.rename, temporary, target))
        self._owed.append(partial(self._files.sync_folder, target.parent))
        self._pay()

    def settle(self) -> None:
        """Finish what is committed. Before this has succeeded the files are not to be read.

        Raises:
            OSError: it has not.
        """
        if self._uncertain:  # there may be more in the journal than is committed
            self._files.write_at(self._path, self._length, b"")
            self._files.sync(self._path)
            self._uncertain = False
        while self._owed:
            self._owed[0]()
            self._owed.popleft()

    def _pay(self) -> None:
        try:
            self.settle()
        except OSError as error:
            _log.warning("what is committed could not be written to its files yet: %s", error)

    def checkpoint(self) -> None:
        """Force all changed files to the disk and begin the journal anew.

        Raises:
            OSError: the journal stays.
        """
        self.settle()
        if self._length == 0:
            return
        if self._suspect:  # after a failed fsync the next one may succeed though pages were lost
            self._replay()
        self._suspect = True
        for path in self._changed:
            with suppress(FileNotFoundError):
                self._files.sync(path)
        for folder in self._folders:
            with suppress(FileNotFoundError):
                self._files.sync_folder(folder)
        self._suspect = False
        self._changed.clear()
        self._folders.clear()
        self._length = 0
        self._uncertain = True
        self.settle()

    def _stage(self, operation: Operation) -> Callable[[], None] | None:
        """Do what nobody sees yet; gives what then makes it seen."""
        path = self._folder / operation.path
        self._folders.update(self._folder / folder for folder in operation.path.parents)
        match operation:
            case Put(text=text):
                self._changed.add(path)
                temporary = _temporary(path)
                self._write(temporary, partial(self._files.write, temporary, text))
                return partial(self._files.rename, temporary, path)
            case Append(at=at, text=text):
                self._changed.add(path)
                self._write(path, partial(self._files.write_at, path, at, text))
                return None
            case Remove():
                return partial(self._files.remove, path)

    def _write(self, path: Path, write: Callable[[], None]) -> None:
        try:
            write()
        except FileNotFoundError:
            if not self._path.parent.exists():  # the whole store was taken away
                raise
            self._files.make_folder(path.parent)
            write()

    def _replay(self) -> int:
        """Do all of the journal again; gives the length of its whole lines."""
        length = 0
        for size, operations in _lines(self._files.read(self._path), self._path):
            for operation in operations:
                done = self._stage(operation)
                if done is not None:
                    done()
            length += size
        return length


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + TEMPORARY)


def _line(operations: Sequence[Operation]) -> bytes:
    text = encode_json([_encoded(operation) for operation in operations])
    return b"%d %08x %s\n" % (len(text), crc32(text), text)


def _lines(text: bytes, path: Path) -> Iterator[tuple[int, list[Operation]]]:
    """Size and operations of each line. A torn last one is left out: its group was never answered."""
    lines = re.findall(rb"[^\n]*\n|[^\n]+", text)
    for number, line in enumerate(lines, start=1):
        operations = _operations(line)
        if operations is not None:
            yield len(line), operations
        elif number < len(lines):
            raise StoreOpenError(problem=f"{path}: line {number} is damaged, and it is not the last")


def _operations(line: bytes) -> list[Operation] | None:
    parts = line.split(b" ", 2)
    if len(parts) != 3 or not line.endswith(b"\n"):
        return None
    text = parts[2][:-1]
    if parts[:2] != [b"%d" % len(text), b"%08x" % crc32(text)]:
        return None
    return [_decoded(values) for values in cast(list[list[Any]], decode_json(text))]


def _encoded(operation: Operation) -> list[Json]:
    path = str(operation.path)
    match operation:
        case Put(text=text):
            return ["put", path, text.decode()]
        case Append(at=at, text=text):
            return ["append", path, at, text.decode()]
        case Remove():
            return ["remove", path]


def _decoded(values: list[Any]) -> Operation:
    path = PurePosixPath(values[1])
    match values:
        case ["put", _, text]:
            return Put(path, text.encode())
        case ["append", _, at, text]:
            return Append(path, at, text.encode())
        case _:
            return Remove(path)
