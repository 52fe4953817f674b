"""The store: its parts, opened and closed in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from examples.custom_store import reads, sweeps
from examples.custom_store.group_storage import SnapshotStorage, time_of
from examples.custom_store.snapshot import Snapshot, own
from examples.custom_store.snapshot_file import SnapshotFile
from flowstate_server.model.clock import Micros
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.commit import GroupCommitter
from flowstate_server.stores.contract.polling import PollingWatchHub, Seen
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.store import Store
from flowstate_server.stores.contract.watch import Topic, Watch
from flowstate_server.stores.contract.writes import Batch, CommitResult

POLL_SECONDS = 0.02


class SnapshotStore(Store):
    """Everything in one pickle file, which several processes of one machine may share."""

    shared = True
    max_wake_delay = 0.5

    def __init__(self, path: str | Path) -> None:
        self._file = SnapshotFile(Path(path))
        self._watches = PollingWatchHub(self._changed_since, interval=POLL_SECONDS)
        self._committer = GroupCommitter(SnapshotStorage(self._file, self._watches))

    async def open(self) -> None:
        await asyncio.to_thread(self._file.create)
        await self._watches.start()
        self._committer.start()

    async def close(self) -> None:
        await self._committer.close()
        await self._watches.close()

    async def commit(self, batch: Batch) -> CommitResult:
        return await self._committer.commit(batch)

    def watch(self, topics: Iterable[Topic]) -> Watch:
        return self._watches.open(topics)

    # --- reads: each of one snapshot

    async def time(self) -> Micros:
        return time_of(await self._read())

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        return own((await self._read()).sessions.get(key))

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> Sequence[ListedSession]:
        return reads.listed_sessions(await self._read(), which, limit, after)

    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        return own((await self._read()).requests.get(key))

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        return reads.states(await self._read(), keys)

    async def read_events(
        self, request: RequestKey, *, after: int, limit: int, max_bytes: int
    ) -> EventPage | None:
        return reads.event_page(await self._read(), request, after, limit, max_bytes)

    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        return reads.turns(await self._read(), session, log_id, newest)

    async def read_projection(self, session: SessionKey, scopes: Iterable[ScopeKey]) -> Projection | None:
        return reads.projection(await self._read(), session, scopes)

    async def read_processes(self) -> Sequence[ProcessRecord]:
        return list((await self._read()).processes.values())

    async def read_unfinished(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        return reads.unfinished(await self._read(), process)[:limit]

    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        running = reads.unfinished(await self._read(), process)
        return [one.head for one in running if one.head.cancel_requested]

    # --- housekeeping

    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        return await self._sweep(
            lambda snapshot: sweeps.without_transient_events(snapshot, time_of(snapshot) - retention, limit)
        )

    async def sweep_idempotency_keys(self, *, limit: int) -> int:
        return await self._sweep(
            lambda snapshot: sweeps.without_idempotency_keys(snapshot, time_of(snapshot), limit)
        )

    async def sweep_processes(self, *, limit: int) -> int:
        return await self._sweep(lambda snapshot: sweeps.without_processes(snapshot, limit))

    async def _sweep(self, sweep: Callable[[Snapshot], tuple[Snapshot, int]]) -> int:
        return await asyncio.to_thread(self._swept, sweep)

    def _swept(self, sweep: Callable[[Snapshot], tuple[Snapshot, int]]) -> int:
        with self._file.locked():
            before = self._file.read()
            after, gone = sweep(before)
            if gone:
                # Nothing that anybody watches has changed, but the file has.
                topics = (*before.topics, ())
                self._file.write(replace(after, commit=before.commit + 1, topics=topics))
        return gone

    async def _read(self) -> Snapshot:
        return await asyncio.to_thread(self._file.read)

    async def _changed_since(self, commit: int) -> Seen:
        return (await self._read()).changed_since(commit)
