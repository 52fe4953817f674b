"""Housekeeping: each sweep makes the next snapshot, without some of the rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

from examples.custom_store.deletions import without_deleted
from examples.custom_store.reads import time_of
from examples.custom_store.snapshot import Snapshot, without
from examples.custom_store.snapshot_file import SnapshotFile
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.backend import Sweeps
from flowstate_server.stores.contract.tables import DOCUMENTS, PROCESSES, REQUESTS


class SnapshotSweeps(Sweeps):
    def __init__(self, file: SnapshotFile) -> None:
        self._file = file

    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        return await self._sweep(lambda snapshot: _without_transient_events(snapshot, retention, limit))

    async def sweep_documents(self, *, limit: int) -> int:
        return await self._sweep(lambda snapshot: _without_documents(snapshot, limit))

    async def sweep_processes(self, *, limit: int) -> int:
        return await self._sweep(lambda snapshot: _without_processes(snapshot, limit))

    async def sweep_sessions(self, *, retention: Micros, limit: int) -> int:
        return await self._sweep(lambda snapshot: without_deleted(snapshot, retention, limit))

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


def _without_transient_events(snapshot: Snapshot, retention: Micros, limit: int) -> tuple[Snapshot, int]:
    before = time_of(snapshot) - retention
    over = (
        event
        for log in snapshot.events.values()
        for event in log
        if _is_over(snapshot, event, Micros(before))
    )
    gone = {id(event) for event in islice(over, limit)}
    logs = {
        log: tuple(one for one in events if id(one) not in gone) for log, events in snapshot.events.items()
    }
    return replace(snapshot, events=logs), len(gone)


def _without_documents(snapshot: Snapshot, limit: int) -> tuple[Snapshot, int]:
    now = time_of(snapshot)
    gone = set(islice((key for key, one in snapshot.of(DOCUMENTS).items() if one.expired(now)), limit))
    return without(snapshot, DOCUMENTS, gone), len(gone)


def _without_processes(snapshot: Snapshot, limit: int) -> tuple[Snapshot, int]:
    running = [one.head for one in snapshot.of(REQUESTS).values()]
    busy = {head.process for head in running if head.status is RequestStatus.IN_PROGRESS}
    over = (key for key, one in snapshot.of(PROCESSES).items() if one.fenced and key not in busy)
    gone = set(islice(over, limit))
    return without(snapshot, PROCESSES, gone), len(gone)


def _is_over(snapshot: Snapshot, event: EventRecord, before: Micros) -> bool:
    if not event.event.transient:
        return False
    if not event.request_id:
        return event.time <= before
    head = snapshot.of(REQUESTS)[RequestKey(event.session.tenant, event.request_id)].head
    return head.status.ended and head.end_time <= before
