"""What writes: each write is one function on the store's thread."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from flowstate_server.errors import LeaseLostError
from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.model.records import ProcessRecord
from flowstate_server.stores.contract.backend import LOAD_LIMIT, Group, GroupStorage, LeaseRenewal, Sweeps
from flowstate_server.stores.contract.tables import DOCUMENTS, PROCESSES, STATES, Changes, Needs, Table
from flowstate_server.stores.contract.watch import Topic
from flowstate_server.stores.filesystem.worker import Worker
from flowstate_server.stores.filesystem.writer import Writer
from flowstate_server.stores.resident.emptying import sweep, take_documents
from flowstate_server.stores.resident.loading import load
from flowstate_server.stores.resident.tables import ResidentPort, Tables


class _Port(ResidentPort):
    def __init__(self, worker: Worker, writer: Writer, tables: Tables, clock: ForwardClock) -> None:
        super().__init__(tables, clock)
        self._worker = worker
        self._writer = writer


class JournaledGroups(_Port, GroupStorage):
    async def run(self, group: Group) -> Iterable[Topic]:
        return await self._worker.run(self._run, group)

    def _run(self, group: Group) -> list[Topic]:
        loaded = load(self._tables, group.needs, self._clock.now())
        changes = group.decide(loaded, self._ready(group))
        take_documents(self._tables, changes)
        if not changes.empty:
            self._writer.write(changes)
        return changes.topics

    def _ready(self, group: Group) -> int:
        """How many batches one line of the journal has room for."""
        size = 0
        for position in range(len(group)):
            size += self._size(group.needs_of(position))
            if size > LOAD_LIMIT:
                return position + 1
        return len(group)

    def _size(self, needs: Needs) -> int:
        states = map(self._tables.states.get, needs.of(STATES))
        documents = map(self._tables.documents.get, needs.of(DOCUMENTS))
        return sum(record.size for record in chain(states, documents) if record is not None)


class JournaledSweeps(_Port, Sweeps):
    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        before = self._clock.now() - retention
        return await self._worker.run(self._writer.sweep_transient_events, Micros(before), limit)

    async def sweep_documents(self, *, limit: int) -> int:
        return await self._worker.run(
            lambda: self._remove(DOCUMENTS, self._tables.documents.expired(self._clock.now(), limit))
        )

    async def sweep_sessions(self, *, retention: Micros, limit: int) -> int:
        return await self._worker.run(self._sweep_sessions, retention, limit)

    def _sweep_sessions(self, retention: Micros, limit: int) -> int:
        now = self._clock.now()
        return sweep(self._tables, self._writer.remove, now, Micros(now - retention), limit)

    async def sweep_processes(self, *, limit: int) -> int:
        return await self._worker.run(lambda: self._remove(PROCESSES, self._tables.done_processes(limit)))

    def _remove(self, table: Table[Any, Any], keys: list[Any]) -> int:
        if keys:
            self._writer.write(Changes(self._clock.now(), removed={table: keys}))
        return len(keys)


class JournaledRenewal(_Port, LeaseRenewal):
    """It needs the store's thread but not the event loop."""

    def renew(self, process: str, lease: Micros) -> None:
        self._worker.wait_for(self._renew, process, lease)

    def close(self) -> None:
        pass

    def _renew(self, process: str, lease: Micros) -> None:
        known = self._tables.find(PROCESSES, process)
        if known is None or known.fenced:
            raise LeaseLostError
        now = self._clock.now()
        renewed = ProcessRecord(process, lease, renew_time=now)
        self._writer.write(Changes(now, changed={PROCESSES: [renewed]}))
