"""The filesystem store: its parts, opened and closed in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import ClassVar, Concatenate, ParamSpec, TypeVar

from flowstate_server.errors import StoreOpenError, StoreUnavailableError
from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.commit import GroupCommitter
from flowstate_server.stores.contract.exporting import Exporting, StoredSession
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.contract.watch import Topic, Watch, WatchHub
from flowstate_server.stores.contract.writes import Batch, CommitResult
from flowstate_server.stores.filesystem import exports, reads, sweeps
from flowstate_server.stores.filesystem.contents import Contents
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.stores.filesystem.folder import FolderLock, check_ours, is_store, known_format, migrate
from flowstate_server.stores.filesystem.group_storage import FilesystemStorage
from flowstate_server.stores.filesystem.journal import Journal
from flowstate_server.stores.filesystem.loading import load_tables
from flowstate_server.stores.filesystem.worker import Worker
from flowstate_server.stores.store import Store

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)


class FilesystemStore(Store, Exporting):
    """Readable files in ``folder``, for one process. ``files`` does what is done to them. Without ``create`` a store
    that is not there is not opened."""

    shared: ClassVar[bool] = False

    def __init__(self, folder: Path | str, *, create: bool = True, files: Files | None = None) -> None:
        self.folder = Path(folder).absolute()
        self._create = create
        self._files = files or Files()
        self._hub = WatchHub()
        self._opened = AsyncExitStack()
        self._parts: _Parts | None = None

    # --- opening

    async def open(self) -> None:
        try:
            await self._open()
        except (OSError, StoreUnavailableError) as error:
            raise StoreOpenError(problem=f"{self.folder}: {error.__cause__ or error}") from error

    async def _open(self) -> None:
        async with AsyncExitStack() as opened:
            worker = Worker()
            opened.push_async_callback(worker.close)
            lock = FolderLock(self.folder)
            opened.push_async_callback(worker.run, lock.close)
            await worker.run(_lock, lock, self.folder, self._files, create=self._create)
            journal = Journal(self.folder, self._files)
            contents = await worker.run(_load, self.folder, self._files, journal)
            opened.push_async_callback(worker.run, _close, journal)
            clock = ForwardClock()
            clock.follow(contents.tables.newest_time())
            committer = GroupCommitter(FilesystemStorage(worker, journal, contents, self._hub, clock))
            committer.start()
            opened.push_async_callback(committer.close)
            self._opened = opened.pop_all()
        self._parts = _Parts(worker, journal, contents, committer, clock)

    async def close(self) -> None:
        await self._opened.aclose()

    # --- writing

    async def commit(self, batch: Batch) -> CommitResult:
        if self._parts is None:
            raise StoreUnavailableError
        return await self._parts.committer.commit(batch)

    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        before = await self.time() - retention
        return await self._write(sweeps.sweep_transient_events, before, limit)

    async def sweep_idempotency_keys(self, *, limit: int) -> int:
        return await self._write(sweeps.sweep_idempotency_keys, await self.time(), limit)

    async def sweep_processes(self, *, limit: int) -> int:
        return await self._write(sweeps.sweep_processes, limit)

    # --- reading

    async def time(self) -> Micros:
        parts = self._opened_parts()
        return await parts.worker.run(parts.clock.now)

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        return await self._read(Contents.session, key)

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> Sequence[ListedSession]:
        return await self._read(reads.list_sessions, which, limit, after)

    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        return await self._read(Contents.request, key)

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        return await self._read(reads.load_states, tuple(keys))

    async def read_events(
        self, request: RequestKey, *, after: int, limit: int, max_bytes: int
    ) -> EventPage | None:
        return await self._read(reads.read_events, request, after, limit, max_bytes)

    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        return await self._read(reads.read_turns, session, log_id, newest)

    async def read_projection(self, session: SessionKey, scopes: Iterable[ScopeKey]) -> Projection | None:
        clock = self._opened_parts().clock.now
        return await self._read(reads.read_projection, session, tuple(scopes), clock)

    async def read_processes(self) -> Sequence[ProcessRecord]:
        return await self._read(reads.read_processes)

    async def read_running(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        return await self._read(reads.read_running, process, limit)

    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        return await self._read(reads.read_cancelled, process)

    def watch(self, topics: Iterable[Topic]) -> Watch:
        return self._hub.open(topics)

    # --- exporting

    async def export_sessions(self, *, after: SessionKey | None, limit: int) -> Sequence[StoredSession]:
        return await self._read(exports.export_sessions, after, limit)

    async def export_requests(
        self, *, after: RequestKey | None, limit: int, max_bytes: int
    ) -> Sequence[RequestRecord]:
        return await self._read(exports.export_requests, after, limit, max_bytes)

    async def export_events(
        self, session: SessionKey, log_id: str, *, after: int, limit: int, max_bytes: int
    ) -> Sequence[EventRecord]:
        return await self._read(exports.export_events, session, log_id, after, limit, max_bytes)

    async def export_states(
        self, *, after: ScopeKey | None, limit: int, max_bytes: int
    ) -> Sequence[StateRecord]:
        return await self._read(exports.export_states, after, limit, max_bytes)

    async def export_idempotency_keys(
        self, *, after: IdempotencyKey | None, limit: int, max_bytes: int
    ) -> Sequence[IdempotencyRecord]:
        return await self._read(exports.export_idempotency_keys, after, limit, max_bytes)

    # --- on the thread

    async def _read(
        self, function: Callable[Concatenate[Contents, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        parts = self._opened_parts()

        def read() -> T:
            parts.journal.settle()
            return function(parts.contents, *args, **kwargs)

        return await parts.worker.run(read)

    async def _write(
        self, function: Callable[Concatenate[Contents, Journal, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        parts = self._opened_parts()

        def write() -> T:
            parts.journal.settle()
            return function(parts.contents, parts.journal, *args, **kwargs)

        return await parts.worker.run(write)

    def _opened_parts(self) -> _Parts:
        if self._parts is None:
            raise StoreUnavailableError
        return self._parts


@frozen
class _Parts:
    worker: Worker
    journal: Journal
    contents: Contents
    committer: GroupCommitter
    clock: ForwardClock


def _lock(lock: FolderLock, folder: Path, files: Files, create: bool) -> None:
    check_ours(folder)
    if not create and not is_store(folder):
        raise StoreOpenError(problem=f"there is no store at {folder}")
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    files.make_folder(folder)
    for path in absent:
        files.sync_folder(path.parent)
    lock.take()
    check_ours(folder)


def _load(folder: Path, files: Files, journal: Journal) -> Contents:
    found = known_format(folder, files)
    journal.open()
    migrate(folder, files, found)
    return Contents(folder, files, load_tables(folder, files))


def _close(journal: Journal) -> None:
    try:
        journal.checkpoint()
    except OSError as error:
        _log.warning("the journal could not be emptied, the next opening does it again: %s", error)
