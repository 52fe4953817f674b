"""Gates: who comes to one is let in, waits or is refused; who waited begins."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import QueueFullError
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event
from flowstate_server.model.gates import (
    Gate,
    Policy,
    Waiting,
    decode_turn,
    gate_key,
    patience_key,
    turn_key,
)
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.payloads import RequestInProgress, RequestQueued
from flowstate_server.model.records import RequestHead, RequestStatus
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.commit.document_writes import put
from flowstate_server.stores.commit.endings import (
    abort_request,
    ends_need,
    gate_of,
    leave_queues,
    put_gate,
)
from flowstate_server.stores.commit.leases import require_lease
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.gate_writes import BeginRequest, EnterGate, GateTaken, TurnTaken
from flowstate_server.stores.contract.tables import Needs
from flowstate_server.stores.contract.writes import WriteResult

REASON = "a newer request took its turn"
"""Why requests are aborted by one that interrupts."""


def need_entry(write: EnterGate, needs: Needs) -> None:
    needs.add(tables.REQUEST_HEADS, write.request)
    needs.add(tables.DOCUMENTS, gate_key(write.request.tenant, write.gate))


def enter_gate(work: WorkingSet, write: EnterGate) -> WriteResult:
    head = work.open_request(write.request)
    tenant, request_id = write.request
    gate = gate_of(work, tenant, write.gate)
    if gate is not None:
        itself = bool(write.within) and gate.holder == write.within
        if itself or write.policy is Policy.REJECT:
            raise GateTaken(RequestKey(tenant, gate.holder), itself=itself)
    if gate is not None and write.policy is Policy.INTERRUPT:
        gate = _make_way(work, write, gate)
    if gate is None:
        put_gate(work, tenant, write.gate, Gate(request_id))
        head = _log_begin(work, head)
    else:
        head = _wait(work, write, head, gate)
    return WriteResult(id=request_id, head=head)


def need_beginning(write: BeginRequest, needs: Needs) -> None:
    needs.add(tables.REQUEST_HEADS, write.request)
    needs.add(tables.PROCESSES, write.process)
    needs.add(tables.DOCUMENTS, turn_key(write.request, write.gate))
    needs.add(tables.DOCUMENTS, patience_key(write.request, write.expire_time))
    needs.update(tables.STATES, write.load)
    needs.update(tables.DOCUMENTS, write.load_documents)


def begin_request(work: WorkingSet, write: BeginRequest) -> WriteResult:
    head = work.requests.get(write.request)
    if head is None or not work.is_there(head):
        raise TurnTaken
    begun = head.status is RequestStatus.IN_PROGRESS and head.process == write.process
    if not begun:
        head = _begin(work, write, head)
    documents = [work.documents.find(key) for key in write.load_documents]
    return WriteResult(
        id=write.request.request_id,
        changed=not begun,
        session=work.session_of(head),
        head=head,
        states=tuple([work.state(key) for key in write.load]),
        documents=tuple([document for document in documents if document is not None]),
    )


def _begin(work: WorkingSet, write: BeginRequest, head: RequestHead) -> RequestHead:
    turn = work.documents.find(turn_key(write.request, write.gate))
    if head.status is not RequestStatus.QUEUED or turn is None or decode_turn(turn).expire_time <= work.time:
        raise TurnTaken
    require_lease(work, write.process)
    work.documents.remove(turn.key)
    work.documents.remove(patience_key(write.request, write.expire_time))
    head = replace(
        head,
        status=RequestStatus.IN_PROGRESS,
        process=write.process,
        attempt=head.attempt + 1,
        start_time=work.time,
    )
    work.requests.put(head.key, head)
    return _log_begin(work, head)


def _log_begin(work: WorkingSet, head: RequestHead) -> RequestHead:
    told = RequestInProgress(attempt=head.attempt)
    return work.log_request_events(head, (Event(told.type, told.encode(), FOR_CLIENTS),))


def _wait(work: WorkingSet, write: EnterGate, head: RequestHead, gate: Gate) -> RequestHead:
    if len(gate.waiting) >= write.limit:
        raise QueueFullError(waiting=len(gate.waiting), limit=write.limit)
    last = Waiting(head.key.request_id, Micros(work.time + write.patience))
    waiting = (*gate.waiting, last)
    put_gate(work, head.key.tenant, write.gate, Gate(gate.holder, waiting))
    put(work, patience_key(head.key, last.expire_time), b"null")
    head = replace(head, status=RequestStatus.QUEUED, process="", attempt=0)
    work.requests.put(head.key, head)
    told = RequestQueued(ahead=len(waiting), expire_time=last.expire_time)
    return work.log_request_events(head, (Event(told.type, told.encode(), FOR_CLIENTS),))


def _make_way(work: WorkingSet, write: EnterGate, gate: Gate) -> Gate | None:
    """The gate once all that have not begun are gone and the one that has is to stop."""
    tenant = write.request.tenant
    keys = [RequestKey(tenant, one.request_id) for one in gate.waiting] + [RequestKey(tenant, gate.holder)]
    work.require((tables.REQUEST_HEADS, key) for key in keys)
    heads = [head for head in map(work.requests.get, keys) if head is not None and head.status.open]
    work.require(ends_need(heads))
    leave_queues(work, heads)
    for head in heads:
        if head.status is RequestStatus.QUEUED:
            abort_request(work, head, REASON)
        elif not head.cancel_requested:
            work.requests.put(head.key, replace(head, cancel_requested=True, cancel_reason=REASON))
    holder = work.requests.get(keys[-1])
    return None if holder is None or holder.status.ended else gate_of(work, tenant, write.gate)
