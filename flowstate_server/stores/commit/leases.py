"""Processes: their leases, and who may write under one."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import LeaseLostError
from flowstate_server.model.records import ProcessRecord, RequestHead
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Needs
from flowstate_server.stores.contract.writes import FenceProcess, RenewLease, WriteResult


def need_process(write: RenewLease | FenceProcess, needs: Needs) -> None:
    needs.add(tables.PROCESSES, write.process)


def renew_lease(work: WorkingSet, write: RenewLease) -> WriteResult:
    row = work.processes.get(write.process)
    if row.fenced if row is not None else not write.start:
        raise LeaseLostError
    work.processes.put(write.process, ProcessRecord(write.process, write.lease, renew_time=work.time))
    return WriteResult(id=write.process)


def fence_process(work: WorkingSet, write: FenceProcess) -> WriteResult:
    row = work.processes.get(write.process)
    if row is None or row.fenced:
        return WriteResult(id=write.process, changed=False)
    alive = row.expire_time > work.time and not write.known_dead
    if row.renew_time != write.seen or alive:
        raise LeaseLostError
    work.processes.put(write.process, replace(row, fenced=True))
    return WriteResult(id=write.process)


def require_lease(work: WorkingSet, process: str) -> None:
    """
    Raises:
        LeaseLostError: the process holds none.
    """
    row = work.processes.get(process)
    if row is None or row.fenced:
        raise LeaseLostError


def require_fenced_owner(work: WorkingSet, head: RequestHead, process: str) -> None:
    """
    Raises:
        LeaseLostError: the request is run by another process, or the process is not fenced.
    """
    row = work.processes.get(process)
    if head.process != process or row is None or not row.fenced:
        raise LeaseLostError
