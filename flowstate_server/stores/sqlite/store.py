"""The SQLite store: its parts, opened and closed in order."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import ClassVar, Concatenate, ParamSpec, TypeVar

from flowstate_server.errors import InternalError, StoreOpenError, StoreUnavailableError
from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.model.events import EventRecord
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
from flowstate_server.stores.sqlite import exports, reads, sweeps
from flowstate_server.stores.sqlite.commit_poller import CommitPoller
from flowstate_server.stores.sqlite.connection import Connection
from flowstate_server.stores.sqlite.group_storage import SqliteStorage
from flowstate_server.stores.sqlite.migrations import migrate
from flowstate_server.stores.sqlite.reader import Reader
from flowstate_server.stores.sqlite.turns import Turns
from flowstate_server.stores.sqlite.writer import Writer
from flowstate_server.stores.store import Store

P = ParamSpec("P")
T = TypeVar("T")

JOURNAL_SIZE_LIMIT = f"journal_size_limit = {64 * 1024 * 1024}"
SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")


class SqliteStore(Store, Exporting):
    """``synchronous`` is SQLite's own setting: anything below ``FULL`` may lose the newest commits when the machine
    (not merely the process) goes down. Without ``create`` a store that is not there is not opened."""

    shared: ClassVar[bool] = True

    def __init__(self, path: Path | str, *, synchronous: str = "FULL", create: bool = True) -> None:
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous must be one of {', '.join(SYNCHRONOUS)}")
        self.path = Path(path).absolute()
        self._synchronous = synchronous
        self._create = create
        self._hub = WatchHub()
        self._clock = ForwardClock()
        self._opened = AsyncExitStack()
        self._committer: GroupCommitter | None = None
        self._writer: Writer | None = None
        self._reader: Reader | None = None

    async def open(self) -> None:
        with _telling_why(self.path):
            await self._open()

    async def _open(self) -> None:
        async with AsyncExitStack() as opened:
            turns = await asyncio.to_thread(self._open_turns)
            opened.callback(turns.close)
            synchronous = f"synchronous = {self._synchronous}"
            writer = Writer(await self._connect(opened, synchronous, JOURNAL_SIZE_LIMIT), turns)
            await writer.alone(_prepare, self.path)
            reader = Reader(await self._connect(opened, "query_only = ON"))
            self._clock.follow(await reader.run(reads.newest_time))
            connection = await self._connect(opened, "query_only = ON")
            poller = CommitPoller(connection, writer, self._hub, self._clock)
            await poller.start()
            opened.push_async_callback(poller.close)
            committer = GroupCommitter(SqliteStorage(writer, self._hub, poller, self._clock))
            committer.start()
            opened.push_async_callback(committer.close)
            self._opened = opened.pop_all()
        self._committer, self._writer, self._reader = committer, writer, reader

    async def close(self) -> None:
        await self._opened.aclose()

    def _open_turns(self) -> Turns:
        if self._create:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        elif not self.path.exists() or not self.path.stat().st_size:
            raise StoreOpenError(problem=f"there is no store at {self.path}")
        return Turns(self.path.resolve())

    async def _connect(self, opened: AsyncExitStack, *pragmas: str) -> Connection:
        connection = await Connection.open(self.path, *pragmas)
        opened.push_async_callback(connection.close)
        return connection

    async def commit(self, batch: Batch) -> CommitResult:
        if self._committer is None:
            raise StoreUnavailableError()
        return await self._committer.commit(batch)

    async def time(self) -> Micros:
        return self._clock.now()

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        return await self._read(reads.get_session, key)

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> Sequence[ListedSession]:
        return await self._read(reads.list_sessions, which, limit, after)

    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        return await self._read(reads.get_request, key)

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        return await self._read(reads.load_states, tuple(keys))

    async def read_events(
        self, request: RequestKey, *, after: int, limit: int, max_bytes: int
    ) -> EventPage | None:
        return await self._read(reads.read_events, request, after, limit, max_bytes)

    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        return await self._read(reads.read_turns, session, log_id, newest)

    async def read_projection(self, session: SessionKey, scopes: Iterable[ScopeKey]) -> Projection | None:
        return await self._read(reads.read_projection, session, tuple(scopes), self._clock)

    async def read_processes(self) -> Sequence[ProcessRecord]:
        return await self._read(reads.read_processes)

    async def read_running(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        return await self._read(reads.read_running, process, limit)

    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        return await self._read(reads.read_cancelled, process)

    def watch(self, topics: Iterable[Topic]) -> Watch:
        return self._hub.open(topics)

    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        before = self._clock.now() - retention
        return await self._write(sweeps.sweep_transient_events, before=before, limit=limit)

    async def sweep_idempotency_keys(self, *, limit: int) -> int:
        return await self._write(sweeps.sweep_idempotency_keys, time=self._clock.now(), limit=limit)

    async def sweep_processes(self, *, limit: int) -> int:
        return await self._write(sweeps.sweep_processes, limit=limit)

    async def export_sessions(self, *, after: SessionKey | None, limit: int) -> Sequence[StoredSession]:
        return await self._read(exports.sessions, after, limit)

    async def export_requests(
        self, *, after: RequestKey | None, limit: int, max_bytes: int
    ) -> Sequence[RequestRecord]:
        return await self._read(exports.requests, after, limit, max_bytes)

    async def export_events(
        self, session: SessionKey, log_id: str, *, after: int, limit: int, max_bytes: int
    ) -> Sequence[EventRecord]:
        return await self._read(exports.events, session, log_id, after, limit, max_bytes)

    async def export_states(
        self, *, after: ScopeKey | None, limit: int, max_bytes: int
    ) -> Sequence[StateRecord]:
        return await self._read(exports.states, after, limit, max_bytes)

    async def export_idempotency_keys(
        self, *, after: IdempotencyKey | None, limit: int, max_bytes: int
    ) -> Sequence[IdempotencyRecord]:
        return await self._read(exports.idempotency_keys, after, limit, max_bytes)

    async def _read(
        self, function: Callable[Concatenate[sqlite3.Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._reader is None:
            raise StoreUnavailableError()
        return await self._reader.run(function, *args, **kwargs)

    async def _write(
        self, function: Callable[Concatenate[sqlite3.Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._writer is None:
            raise StoreUnavailableError()
        return await self._writer.run(function, *args, **kwargs)


@contextmanager
def _telling_why(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, StoreUnavailableError, InternalError) as error:
        why = error.__cause__ or error
        raise StoreOpenError(problem=f"{path}: {why}") from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    migrate(connection, path)
