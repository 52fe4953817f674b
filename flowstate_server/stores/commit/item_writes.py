"""Items from outside, and items that go."""

from __future__ import annotations

from collections.abc import Iterable

from flowstate_server.errors import RequestNotFoundError, RequestOpenError
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.payloads import ItemRemoved
from flowstate_server.model.records import SessionRecord, TurnKey, TurnRecord
from flowstate_server.model.removals import decode_removals, encode_removals, removals_key
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.commit.document_writes import put
from flowstate_server.stores.commit.working_set import WorkingSet, moved_session
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.item_writes import AppendItems, ItemsChanged, RemoveItems
from flowstate_server.stores.contract.tables import Needs
from flowstate_server.stores.contract.writes import SessionChanged, WriteResult


def need_items(write: AppendItems, needs: Needs) -> None:
    needs.add(tables.SESSIONS, write.session)
    if write.request is not None:
        needs.add(tables.REQUEST_HEADS, write.request)


def append_items(work: WorkingSet, write: AppendItems) -> WriteResult:
    session = _incarnation(work, write.session, write.log_id)
    head = None
    if write.request is None:
        _append_turn(work, session, write.events)
    else:
        head = work.open_request(write.request)
        if (head.session, head.session_log_id) != (write.session, write.log_id):
            raise RequestNotFoundError(write.request.request_id)
        head = work.log_request_events(head, write.events)
    ids = tuple([event.item.item_id for event in write.events if event.item is not None])
    return WriteResult(id=write.session.session_id, ids=ids, head=head)


def need_removal(write: RemoveItems, needs: Needs) -> None:
    needs.add(tables.SESSIONS, write.session)
    needs.add(tables.DOCUMENTS, removals_key(write.session, write.log_id))
    needs.update(tables.REQUEST_HEADS, _requests_of(write))
    needs.update(tables.TURNS, write.turns)


def remove_items(work: WorkingSet, write: RemoveItems) -> WriteResult:
    session = _incarnation(work, write.session, write.log_id)
    counter = removals_key(write.session, write.log_id)
    seen = decode_removals(work.documents.find(counter))
    if seen != write.seen:
        raise ItemsChanged
    for request in _requests_of(write):
        head = work.requests.get(request)
        if head is not None and head.status.open:
            raise RequestOpenError(request.request_id)
    if not write.items:
        return WriteResult(id=write.session.session_id, changed=False)
    put(work, counter, encode_removals(seen + 1))
    removals, emptied = work.of(tables.ITEM_REMOVALS), work.of(tables.EMPTIED_REQUESTS)
    for item in write.items:
        removals.put(item.key, item)
    for one in write.emptied:
        if work.requests.get(one.key) is not None:
            emptied.put(one.key, one)
    for turn in write.turns:
        work.turns.remove(turn)
    work.log_events(
        session,
        [
            Event(EventType.ITEM_REMOVED, ItemRemoved(item.item_id).encode(), item.audiences)
            for item in write.items
        ],
    )
    return WriteResult(
        id=write.session.session_id, version=seen + 1, ids=tuple([item.item_id for item in write.items])
    )


def _incarnation(work: WorkingSet, key: SessionKey, log_id: str) -> SessionRecord:
    session = work.live_session(key)
    if session.log_id != log_id:
        raise SessionChanged
    return session


def _append_turn(work: WorkingSet, session: SessionRecord, events: Iterable[Event]) -> None:
    before = work.session_head(session)
    work.log_events(session, events)
    after = work.session_head(session)
    number = before.turns + 1
    work.session_heads.put(session.key, moved_session(after, after.sequence, number, after.activity_time))
    turn = TurnKey(session.key, session.log_id, number)
    work.turns.put(turn, TurnRecord(turn, "", first=before.sequence + 1, last=after.sequence))


def _requests_of(write: RemoveItems) -> list[RequestKey]:
    tenant = write.session.tenant
    keys = [RequestKey(tenant, item.request_id) for item in write.items if item.request_id]
    return list(dict.fromkeys([*keys, *(one.key for one in write.emptied)]))
