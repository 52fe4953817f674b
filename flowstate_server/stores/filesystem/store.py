"""The filesystem store: its parts, opened and closed in order."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from pathlib import Path

from flowstate_server.errors import StoreOpenError, StoreUnavailableError
from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.stores.contract.backend import Backend, Ports
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.stores.filesystem.folder import (
    FolderLock,
    FolderPresence,
    check_ours,
    is_of_older_release,
    is_store,
    known_format,
    migrate,
)
from flowstate_server.stores.filesystem.journal import Journal
from flowstate_server.stores.filesystem.loading import Loading
from flowstate_server.stores.filesystem.pieces import FolderPieces
from flowstate_server.stores.filesystem.ports import JournaledGroups, JournaledRenewal, JournaledSweeps
from flowstate_server.stores.filesystem.worker import Worker
from flowstate_server.stores.filesystem.writer import Writer
from flowstate_server.stores.resident.exports import ResidentExports
from flowstate_server.stores.resident.reads import ResidentReads
from flowstate_server.stores.store import Store

_log = logging.getLogger(__name__)


class FilesystemStore(Store):
    """Readable files in ``folder``, for one process. ``files`` does what is done to them. Without ``create`` a store
    that is not there is not opened, without ``update`` one of an older release is not."""

    def __init__(
        self, folder: Path | str, *, create: bool = True, update: bool = True, files: Files | None = None
    ) -> None:
        super().__init__(FilesystemBackend(Path(folder).absolute(), create, update, files or Files()))


class FilesystemBackend(Backend):
    """Reads are answered from memory; what is written is in the files first, and then in memory."""

    worker: Worker
    journal: Journal

    def __init__(self, folder: Path, create: bool, update: bool, files: Files) -> None:
        self.files = files
        self._folder = folder
        self._create = create
        self._update = update
        self._opened = AsyncExitStack()

    async def open(self) -> Ports:
        try:
            return await self._open()
        except (OSError, StoreUnavailableError) as error:
            raise StoreOpenError(problem=f"{self._folder}: {error.__cause__ or error}") from error

    async def _open(self) -> Ports:
        async with AsyncExitStack() as opened:
            worker = self.worker = Worker("flowstate-filesystem-store")
            opened.push_async_callback(worker.close)
            lock = FolderLock(self._folder)
            opened.push_async_callback(worker.run, lock.close)
            await worker.run(self._lock, lock)
            self.journal = Journal(self._folder, self.files)
            loading = await worker.run(self._load, self.journal)
            opened.push_async_callback(worker.run, _close, self.journal)
            pieces = Worker("flowstate-filesystem-blobs")
            opened.push_async_callback(pieces.close)
            self._opened = opened.pop_all()
        clock = ForwardClock()
        clock.follow(Micros(loading.newest_time))
        tables = loading.tables
        writer = Writer(self._folder, self.files, self.journal, tables, loading.logs, lock.check)
        return Ports(
            groups=JournaledGroups(worker, writer, tables, clock),
            reads=ResidentReads(tables, clock),
            sweeps=JournaledSweeps(worker, writer, tables, clock),
            exports=ResidentExports(tables),
            pieces=FolderPieces(self._folder, self.files, pieces),
            renewal=JournaledRenewal(worker, writer, tables, clock),
            presence=FolderPresence(),
        )

    async def close(self) -> None:
        await self._opened.aclose()

    def _lock(self, lock: FolderLock) -> None:
        check_ours(self._folder)
        if not self._create and not is_store(self._folder):
            raise StoreOpenError(problem=f"there is no store at {self._folder}")
        absent = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
        self.files.make_folder(self._folder)
        for path in absent:
            self.files.sync_folder(path.parent)
        lock.take()
        check_ours(self._folder)

    def _load(self, journal: Journal) -> Loading:
        found = known_format(self._folder, self.files)
        if not self._update and is_of_older_release(found):
            raise StoreOpenError(problem=f"{self._folder} is of an older release: migrate it first")
        journal.open()
        migrate(self._folder, self.files, found)
        loading = Loading(self._folder, self.files)
        loading.load()
        return loading


def _close(journal: Journal) -> None:
    try:
        journal.checkpoint()
    except OSError as error:
        _log.warning("the journal could not be emptied, the next opening does it again: %s", error)
