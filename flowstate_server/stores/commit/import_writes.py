"""Copies: records as they are in another store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import Outcome, RequestRecord, SessionHead, SessionRecord, TurnRecord
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Needs
from flowstate_server.stores.contract.writes import ImportInterrupted, ImportRecords, WriteResult


def need_imported(write: ImportRecords, needs: Needs) -> None:
    needs.add(tables.DOCUMENTS, write.place.key)
    table = write.table
    if table is None:
        return
    if table is tables.REQUESTS:
        needs.update(tables.SESSIONS, {record.head.session for record in write.records})
        needs.update(tables.REQUEST_HEADS, [record.key for record in write.records])
    elif table is tables.EVENTS:
        needs.update(tables.SESSIONS, {event.session for event in write.records})
        needs.update(tables.REQUEST_HEADS, {key for event in write.records if (key := _request_of(event))})
    elif table is tables.SESSION_HEADS:
        needs.update(tables.SESSIONS, [head.key for head in write.records])
    elif table is tables.TURNS:
        needs.update(tables.SESSIONS, {turn.key.session for turn in write.records})
        needs.update(tables.REQUEST_HEADS, {key for turn in write.records if (key := _request_of_turn(turn))})
        needs.update(tables.TURNS, [turn.key for turn in write.records])
    else:
        needs.update(table, [table.key_of(record) for record in write.records])


def import_records(work: WorkingSet, write: ImportRecords) -> WriteResult:
    known = work.documents.get(write.place.key)
    if (None if known is None else known.text) != write.expected:
        raise ImportInterrupted
    work.documents.put(
        write.place.key, replace(write.place, version=1 if known is None else known.version + 1)
    )
    if write.table is tables.REQUESTS:
        for request in write.records:
            _put_request(work, request)
    elif write.table is tables.EVENTS:
        work.events.extend(write.records)
        _touch_requests(work, write.records)
    elif write.table is tables.SESSIONS:
        for session in write.records:
            _put_session(work, session)
    elif write.table is not None:
        working = work.of(write.table)
        for record in write.records:
            working.put(write.table.key_of(record), record)
    return WriteResult()


def _put_session(work: WorkingSet, session: SessionRecord) -> None:
    """Its head comes later, and until then there is one, as there is of every session."""
    work.sessions.put(session.key, session)
    head = work.session_heads.get(session.key)
    if head is None or head.log_id != session.log_id:
        work.session_heads.put(
            session.key, SessionHead(session.key, session.log_id, 0, 0, session.create_time)
        )


def _touch_requests(work: WorkingSet, events: Iterable[EventRecord]) -> None:
    """Transient events change their request as well: a store notes there that it has some to sweep."""
    for event in events:
        key = _request_of(event)
        if key is not None and event.event.transient:
            head = work.requests.get(key)
            if head is not None:
                work.requests.put(head.key, head)


def _put_request(work: WorkingSet, request: RequestRecord) -> None:
    if work.requests.get(request.key) is None:
        work.created.put(request.key, request)
    if request.head.status.ended:
        work.outcomes.put(request.key, Outcome(request.key, request.output, request.failure, request.reason))
    work.requests.put(request.key, request.head)


def _request_of_turn(turn: TurnRecord) -> RequestKey | Any:
    return RequestKey(turn.key.session.tenant, turn.request_id) if turn.request_id else None


def _request_of(event: EventRecord) -> RequestKey | Any:
    return RequestKey(event.session.tenant, event.request_id) if event.request_id else None
