"""The store: its parts, opened and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from examples.custom_store import lists, reads
from examples.custom_store.group_storage import SnapshotStorage
from examples.custom_store.snapshot import Snapshot, own
from examples.custom_store.snapshot_file import SnapshotFile
from examples.custom_store.sweeps import SnapshotSweeps
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateRecord,
    TurnRecord,
)
from flowstate_server.model.scopes import LogKey, RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.backend import MAX_DOCUMENT_BYTES, Backend, Ports, Reads
from flowstate_server.stores.contract.lists import (
    ItemPage,
    ItemPosition,
    ItemRange,
    RequestFilter,
    RequestPage,
    RequestPosition,
)
from flowstate_server.stores.contract.pages import page_of
from flowstate_server.stores.contract.polling import PollingWatchHub, Seen
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSessions,
    OldestTurns,
    Place,
    Projection,
    SessionFilter,
    SessionPosition,
    SessionWalk,
)
from flowstate_server.stores.contract.tables import PROCESSES, SESSIONS
from flowstate_server.stores.store import Store

POLL_SECONDS = 0.02


class SnapshotStore(Store):
    """Everything in one pickle file, which several processes of one machine may share."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(SnapshotBackend(Path(path)))


class SnapshotBackend(Backend):
    shared = True
    max_wake_delay = 0.5

    def __init__(self, path: Path) -> None:
        self._file = SnapshotFile(path)
        self._hub = PollingWatchHub(self._changed_since, interval=POLL_SECONDS)

    async def open(self) -> Ports:
        await asyncio.to_thread(self._file.create)
        await self._hub.start()
        return Ports(
            groups=SnapshotStorage(self._file),
            reads=SnapshotReads(self._file),
            sweeps=SnapshotSweeps(self._file),
            hub=self._hub,
        )

    async def close(self) -> None:
        await self._hub.close()

    async def _changed_since(self, commit: int) -> Seen:
        return (await asyncio.to_thread(self._file.read)).changed_since(commit)


class SnapshotReads(Reads):
    """Each read is one of one snapshot."""

    def __init__(self, file: SnapshotFile) -> None:
        self._file = file

    async def time(self) -> Micros:
        return reads.time_of(await self._read())

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        return own((await self._read()).of(SESSIONS).get(key))

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> ListedSessions:
        return reads.listed_sessions(await self._read(), which, limit, after)

    async def count_sessions(self, which: SessionFilter) -> int:
        return reads.count_sessions(await self._read(), which)

    async def walk_sessions(self, *, after: Place | None, limit: int) -> SessionWalk:
        return reads.walk(await self._read(), after, limit)

    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        return own(reads.request_of(await self._read(), key))

    async def get_removed_request(self, key: RequestKey) -> RequestRecord | None:
        return reads.removed_request(await self._read(), key)

    async def read_oldest_turns(self, session: SessionKey, log_id: str, *, limit: int) -> OldestTurns:
        return reads.oldest_turns(await self._read(), session, log_id, limit)

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        return reads.states(await self._read(), keys)

    async def load_documents(self, keys: Iterable[DocumentKey]) -> Mapping[DocumentKey, Document]:
        return reads.documents_of(await self._read(), keys)

    async def read_documents(
        self, which: DocumentRange, *, max_bytes: int = MAX_DOCUMENT_BYTES
    ) -> Sequence[Document]:
        return page_of(reads.documents(await self._read(), which), which.limit, max_bytes)

    async def read_events(self, log: LogKey, *, after: int, limit: int, max_bytes: int) -> EventPage | None:
        return reads.events_after(await self._read(), log, after, limit, max_bytes)

    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        return reads.turns(await self._read(), session, log_id, newest)

    async def list_items(
        self, which: ItemRange, *, limit: int, max_bytes: int, after: ItemPosition | None = None
    ) -> ItemPage | None:
        return lists.items(await self._read(), which, limit, max_bytes, after)

    async def newest_turns(self, session: SessionKey, log_id: str, *, newest: int) -> tuple[int, int] | None:
        numbers = lists.turn_numbers(await self._read(), session, log_id)[-newest:] if newest > 0 else []
        return (numbers[0], numbers[-1]) if numbers else None

    async def list_turns(
        self, session: SessionKey, log_id: str, *, limit: int, before: int | None = None
    ) -> Sequence[TurnRecord]:
        return lists.turns_before(await self._read(), session, log_id, before, limit)

    async def list_requests(
        self, which: RequestFilter, *, limit: int, max_bytes: int, after: RequestPosition | None = None
    ) -> RequestPage:
        return lists.requests(await self._read(), which, limit, max_bytes, after)

    async def read_projection(
        self, session: SessionKey, scopes: Iterable[ScopeKey], documents: Iterable[DocumentKey] = ()
    ) -> Projection | None:
        return reads.projection(await self._read(), session, scopes, documents)

    async def read_processes(self) -> Sequence[ProcessRecord]:
        return list((await self._read()).of(PROCESSES).values())

    async def read_running(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        return reads.running(await self._read(), process)[:limit]

    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        heads = [one.head for one in reads.running(await self._read(), process)]
        return [head for head in heads if head.cancel_requested]

    async def _read(self) -> Snapshot:
        return await asyncio.to_thread(self._file.read)
