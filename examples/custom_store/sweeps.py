"""Housekeeping: each sweep makes the next snapshot, without some of the rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from examples.custom_store.snapshot import Snapshot
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.scopes import RequestKey


def without_transient_events(snapshot: Snapshot, before: Micros, limit: int) -> tuple[Snapshot, int]:
    over = (event for log in snapshot.events.values() for event in log if _is_over(snapshot, event, before))
    gone = {id(event) for event in islice(over, limit)}
    logs = {
        log: tuple(one for one in events if id(one) not in gone) for log, events in snapshot.events.items()
    }
    return replace(snapshot, events=logs), len(gone)


def without_idempotency_keys(snapshot: Snapshot, now: Micros, limit: int) -> tuple[Snapshot, int]:
    over = (key for key, one in snapshot.idempotency_keys.items() if one.expire_time <= now)
    gone = set(islice(over, limit))
    kept = {key: one for key, one in snapshot.idempotency_keys.items() if key not in gone}
    return replace(snapshot, idempotency_keys=kept), len(gone)


def without_processes(snapshot: Snapshot, limit: int) -> tuple[Snapshot, int]:
    busy = {one.head.process for one in snapshot.requests.values() if not one.head.status.ended}
    over = (one.process for one in snapshot.processes.values() if one.fenced and one.process not in busy)
    gone = set(islice(over, limit))
    kept = {name: one for name, one in snapshot.processes.items() if name not in gone}
    return replace(snapshot, processes=kept), len(gone)


def _is_over(snapshot: Snapshot, event: EventRecord, before: Micros) -> bool:
    if not event.event.transient:
        return False
    if not event.request_id:
        return event.time <= before
    head = snapshot.requests[RequestKey(event.session.tenant, event.request_id)].head
    return head.status.ended and head.end_time <= before
