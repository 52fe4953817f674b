"""The memory store: tables in this process, and nothing besides."""

from __future__ import annotations

from collections.abc import Iterable

from flowstate_server.errors import LeaseLostError
from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.model.records import ProcessRecord
from flowstate_server.stores.contract.backend import Backend, Group, GroupStorage, LeaseRenewal, Ports, Sweeps
from flowstate_server.stores.contract.tables import PROCESSES, Changes
from flowstate_server.stores.contract.watch import Topic
from flowstate_server.stores.memory.pieces import MemoryPieces
from flowstate_server.stores.resident.damage import Incarnation
from flowstate_server.stores.resident.emptying import sweep, take_documents
from flowstate_server.stores.resident.exports import ResidentExports
from flowstate_server.stores.resident.loading import load
from flowstate_server.stores.resident.reads import ResidentReads
from flowstate_server.stores.resident.tables import ResidentPort, Tables
from flowstate_server.stores.store import Store


class MemoryStore(Store):
    """Keeps everything in this process and nothing beyond it."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())


class MemoryBackend(Backend):
    """Every read, and every group, is one function that the event loop does not interrupt; the tables are held for the
    thread that renews leases."""

    def __init__(self) -> None:
        self.tables = tables = Tables()
        clock = ForwardClock()
        self._ports = Ports(
            groups=_Groups(tables, clock),
            reads=ResidentReads(tables, clock),
            sweeps=_Sweeps(tables, clock),
            exports=ResidentExports(tables),
            pieces=MemoryPieces(),
            renewal=_Renewal(tables, clock),
        )

    async def open(self) -> Ports:
        return self._ports

    async def close(self) -> None:
        pass


class _Groups(ResidentPort, GroupStorage):
    async def run(self, group: Group) -> Iterable[Topic]:
        with self._tables as tables:
            changes = group.decide(load(tables, group.needs, self._clock.now()))
            take_documents(tables, changes)
            tables.apply(changes)
        return changes.topics


class _Sweeps(ResidentPort, Sweeps):
    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        events = self._tables.sweepable(Micros(self._clock.now() - retention), limit)
        self._tables.remove_events(events)
        return len(events)

    async def sweep_documents(self, *, limit: int) -> int:
        keys = self._tables.documents.expired(self._clock.now(), limit)
        for key in keys:
            self._tables.documents.remove(key)
        return len(keys)

    async def sweep_sessions(self, *, retention: Micros, limit: int) -> int:
        now = self._clock.now()
        with self._tables as tables:
            return sweep(tables, self._write, now, Micros(now - retention), limit)

    def _write(self, changes: Changes, log: Incarnation | None) -> None:
        self._tables.apply(changes)
        if log is not None:
            self._tables.drop_log(log)

    async def sweep_processes(self, *, limit: int) -> int:
        with self._tables as tables:
            processes = tables.done_processes(limit)
            for process in processes:
                del tables.processes[process]
        return len(processes)


class _Renewal(ResidentPort, LeaseRenewal):
    def renew(self, process: str, lease: Micros) -> None:
        with self._tables as tables:
            known = tables.find(PROCESSES, process)
            if known is None or known.fenced:
                raise LeaseLostError
            tables.processes[process] = ProcessRecord(process, lease, self._clock.now())

    def close(self) -> None:
        pass
