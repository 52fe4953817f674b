"""Copies: records as they are in another store."""

from __future__ import annotations

from collections.abc import Iterable

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import RequestRecord
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.storage import Outcome
from flowstate_server.stores.contract.writes import ImportInterrupted, ImportRecords, WriteResult


def import_records(work: WorkingSet, write: ImportRecords) -> WriteResult:
    known = work.idempotency_keys.get(write.progress.key)
    if (None if known is None else known.reply) != write.expected:
        raise ImportInterrupted
    for session, head in write.sessions:
        work.sessions.put(session.key, session)
        work.session_heads.put(session.key, head)
    for request in write.requests:
        _put_request(work, request)
    work.events.extend(write.events)
    _touch_requests(work, write.events)
    for state in write.states:
        work.states.put(state.key, state)
    for process in write.processes:
        work.processes.put(process.process, process)
    for key in (*write.idempotency_keys, write.progress):
        work.idempotency_keys.put(key.key, key)
    return WriteResult()


def _touch_requests(work: WorkingSet, events: Iterable[EventRecord]) -> None:
    """Transient events change their request as well: a store notes there that it has some to sweep."""
    for event in events:
        if event.request_id and event.event.transient:
            head = work.requests.get(RequestKey(event.session.tenant, event.request_id))
            if head is not None:
                work.requests.put(head.key, head)


def _put_request(work: WorkingSet, request: RequestRecord) -> None:
    if work.requests.get(request.key) is None:
        work.created.put(request.key, request)
    elif request.head.status.ended:
        work.outcomes.put(request.key, Outcome(request.key, request.output, request.failure))
    work.requests.put(request.key, request.head)
