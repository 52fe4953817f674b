"""How a request ends, whatever ends it: the terminal event, the outcome, and its gate goes to the next one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set as AbstractSet
from typing import Any

from flowstate_server.model.events import Event
from flowstate_server.model.gates import (
    Gate,
    Turn,
    Waiting,
    decode_gate,
    decode_turn,
    encode_gate,
    encode_turn,
    gate_key,
    patience_key,
    turn_key,
)
from flowstate_server.model.identity import Tenant
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.payloads import RequestAborted, ScopeVersions, encode_terminal
from flowstate_server.model.records import Outcome, RequestHead, RequestStatus
from flowstate_server.model.scopes import RequestKey, request_scope
from flowstate_server.stores.commit.document_writes import put
from flowstate_server.stores.commit.working_set import WorkingSet, moved
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Needs, Table


def need_gate(request: RequestKey, gate: str, needs: Needs) -> None:
    """What :func:`end_request` needs where the gate is known beforehand; else it is loaded when it shows."""
    if gate:
        needs.update(tables.DOCUMENTS, (gate_key(request.tenant, gate), turn_key(request, gate)))


def ends_need(heads: Iterable[RequestHead]) -> Iterator[tuple[Table[Any, Any], Any]]:
    """What the ends of these requests need, to be required at once."""
    for head in heads:
        if head.gate:
            yield tables.DOCUMENTS, gate_key(head.key.tenant, head.gate)
        if head.status is RequestStatus.QUEUED:
            yield tables.STATE_HEADS, request_scope(head.key)
            if head.gate:
                yield tables.DOCUMENTS, turn_key(head.key, head.gate)


def leave_queues(work: WorkingSet, heads: Iterable[RequestHead]) -> None:
    """Take all of these that wait out of their queues, ahead of their ends: where each left by itself, who waits would
    be read and written as often, a thousand times a thousand.

    Raises:
        NotAsked: a gate was not loaded.
    """
    waiting: dict[tuple[Tenant, str], list[str]] = {}
    for head in heads:
        if head.gate and head.status is RequestStatus.QUEUED:
            waiting.setdefault((head.key.tenant, head.gate), []).append(head.key.request_id)
    for (tenant, text), request_ids in waiting.items():
        gate = gate_of(work, tenant, text)
        if gate is None:
            continue
        stay = gate.without(*request_ids)
        if stay != gate:
            _forget_times(work, tenant, {*gate.waiting} - {*stay.waiting})
            put_gate(work, tenant, text, stay)


def end_request(
    work: WorkingSet, head: RequestHead, status: RequestStatus, event: Event, outcome: Outcome
) -> RequestHead:
    """End an open request; gives back its new head.

    Raises:
        NotAsked: its gate was not loaded.
    """
    if head.gate or head.status is RequestStatus.QUEUED:
        work.require(ends_need((head,)))
    head = work.log_request_events(head, (event,))
    ended = moved(head, head.sequence, status, work.time)
    work.requests.put(head.key, ended)
    work.outcomes.put(head.key, outcome)
    work.states.remove(request_scope(head.key))
    if head.gate:
        _leave_gate(work, head)
    return ended


def abort_request(
    work: WorkingSet, head: RequestHead, reason: str, versions: ScopeVersions | None = None
) -> RequestHead:
    told = RequestAborted(reason)
    event = Event(told.type, encode_terminal(told.members(), versions or {}), FOR_CLIENTS)
    return end_request(work, head, RequestStatus.ABORTED, event, Outcome(head.key, reason=reason))


def gate_of(work: WorkingSet, tenant: Tenant, gate: str) -> Gate | None:
    """Who has a gate now, by its document, which was loaded."""
    return decode_gate(work.documents.find(gate_key(tenant, gate)))


def put_gate(work: WorkingSet, tenant: Tenant, text: str, gate: Gate) -> None:
    put(work, gate_key(tenant, text), encode_gate(gate))


def _leave_gate(work: WorkingSet, head: RequestHead) -> None:
    tenant, request_id = head.key
    gate = gate_of(work, tenant, head.gate)
    if gate is None:
        return
    if gate.holder != request_id:
        leave_queues(work, (head,))
        return
    if head.status is RequestStatus.QUEUED:
        had = work.documents.find(turn_key(head.key, head.gate))
        if had is not None:
            _forget_times(work, tenant, {Waiting(request_id, decode_turn(had).expire_time)})
            work.documents.remove(had.key)
    if not gate.waiting:
        work.documents.remove(gate_key(tenant, head.gate))
        return
    first, *others = gate.waiting
    put_gate(work, tenant, head.gate, Gate(first.request_id, tuple(others)))
    turn = Turn(RequestKey(tenant, first.request_id), first.expire_time)
    put(work, turn_key(turn.request, head.gate), encode_turn(turn))


def _forget_times(work: WorkingSet, tenant: Tenant, ended: AbstractSet[Waiting]) -> None:
    """Forget until when those waited that wait no more, however long that would have been."""
    keys = [patience_key(RequestKey(tenant, one.request_id), one.expire_time) for one in ended]
    work.require((tables.DOCUMENTS, key) for key in keys)
    for key in keys:
        work.documents.remove(key)
