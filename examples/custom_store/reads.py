"""What a snapshot answers to reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from examples.custom_store.snapshot import Snapshot, own
from flowstate_server.model.clock import Micros, system_micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange
from flowstate_server.model.events import EventRecord, EventType, LogHead
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    RequestHead,
    RequestRecord,
    RequestStatus,
    SessionRecord,
    StateRecord,
    TurnRecord,
)
from flowstate_server.model.scopes import LogKey, RequestKey, ScopeKey, SessionKey
from flowstate_server.model.session_labels import session_labels
from flowstate_server.stores.contract.pages import event_page
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    ListedSessions,
    OldestTurns,
    Place,
    Projection,
    SessionFilter,
    SessionLife,
    SessionPosition,
    SessionWalk,
    position_of,
)
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
)


def time_of(snapshot: Snapshot) -> Micros:
    """The store's time: the machine's, but never before that of a commit."""
    return max(snapshot.time, system_micros())


def states(snapshot: Snapshot, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
    known = snapshot.of(STATES)
    return {key: own(known.get(key)) or StateRecord(key) for key in keys}


def documents_of(snapshot: Snapshot, keys: Iterable[DocumentKey]) -> dict[DocumentKey, Document]:
    known, now = snapshot.of(DOCUMENTS), time_of(snapshot)
    return {key: known[key] for key in keys if key in known and known[key].exists(now)}


def documents(snapshot: Snapshot, which: DocumentRange) -> list[Document]:
    """All of the range, whatever its limit."""
    now = time_of(snapshot)
    found = [one for one in snapshot.of(DOCUMENTS).values() if which.covers(one.key) and one.exists(now)]
    return sorted(found, key=lambda document: document.key.name, reverse=which.descending)


def listed_sessions(
    snapshot: Snapshot, which: SessionFilter, limit: int, after: SessionPosition | None
) -> ListedSessions:
    found = [
        session
        for session in _those(snapshot, which)
        if after is None
        or (session.create_time, session.key.session_id) < (after.create_time, after.session_id)
    ]
    found.sort(key=lambda session: (session.create_time, session.key.session_id), reverse=True)
    heads = snapshot.of(SESSION_HEADS)
    page = [ListedSession(own(one), heads[one.key].activity_time) for one in found[:limit]]
    return ListedSessions(page, position_of(page[-1].record) if len(found) > limit else None)


def count_sessions(snapshot: Snapshot, which: SessionFilter) -> int:
    return len(_those(snapshot, which))


def _those(snapshot: Snapshot, which: SessionFilter) -> list[SessionRecord]:
    heads = snapshot.of(SESSION_HEADS)
    return [
        session
        for session in snapshot.of(SESSIONS).values()
        if session.key.tenant == which.tenant
        and not session.deleted
        and which.flow_kind in (None, session.flow_kind)
        and which.user_id in (None, session.user_id)
        and which.org_id in (None, session.org_id)
        and (which.include_ephemeral or not session.ephemeral)
        and session_labels(session).issuperset(which.labels)
        and (which.active_after is None or heads[session.key].activity_time > which.active_after)
    ]


def walk(snapshot: Snapshot, after: Place | None, limit: int) -> SessionWalk:
    live = sorted(key for key, one in snapshot.of(SESSIONS).items() if not one.deleted)
    found = [key for key in live if after is None or key > after][:limit]
    sessions, heads = snapshot.of(SESSIONS), snapshot.of(SESSION_HEADS)
    lives = [
        SessionLife(key, one.log_id, one.flow_kind, one.ephemeral, heads[key])
        for key in found
        for one in (sessions[key],)
    ]
    return SessionWalk(lives, found[-1] if len(found) == limit else None)


def request_of(snapshot: Snapshot, key: RequestKey) -> RequestRecord | None:
    """The request, unless it was removed or its session, as it was then, does not live."""
    request = snapshot.of(REQUESTS).get(key)
    if request is None or request.head.status is RequestStatus.REMOVED:
        return None
    return request if _lives(snapshot, request) else None


def removed_request(snapshot: Snapshot, key: RequestKey) -> RequestRecord | None:
    request = snapshot.of(REQUESTS).get(key)
    if request is None or request.head.status is not RequestStatus.REMOVED:
        return None
    return request if _lives(snapshot, request) else None


def _lives(snapshot: Snapshot, request: RequestRecord) -> bool:
    session = snapshot.of(SESSIONS).get(request.head.session)
    return session is not None and session.log_id == request.head.session_log_id and not session.deleted


def events_after(snapshot: Snapshot, log: LogKey, after: int, limit: int, max_bytes: int) -> EventPage | None:
    if isinstance(log, RequestKey):
        request = request_of(snapshot, log)
        if request is None:
            return None
        head = LogHead(request.head.log_id, request.head.sequence, request.head.status.ended)
        beyond = [event for event in _events_of(snapshot, request) if event.sequence > after]
    else:
        session = snapshot.of(SESSIONS).get(log)
        if session is None:
            return None
        counters = snapshot.of(SESSION_HEADS)[log]
        head = LogHead(session.log_id, counters.sequence, session.deleted, counters.floor)
        events = snapshot.events.get((log, session.log_id), ())
        beyond = [event for event in events if event.session_sequence > after]
    return event_page(beyond, log, head, limit, max_bytes)


def oldest_turns(snapshot: Snapshot, session: SessionKey, log_id: str, limit: int) -> OldestTurns:
    kept = _turns(snapshot, session, log_id)
    return OldestTurns(tuple(kept[:limit]), len(kept))


def _turns(snapshot: Snapshot, session: SessionKey, log_id: str) -> list[TurnRecord]:
    kept = snapshot.of(TURNS).items()
    found = [turn for key, turn in kept if (key.session, key.log_id) == (session, log_id)]
    return sorted(found, key=lambda turn: turn.key.number)


def turns(snapshot: Snapshot, session: SessionKey, log_id: str, newest: int) -> list[ItemRecord]:
    kept = _turns(snapshot, session, log_id)
    log = snapshot.events.get((session, log_id), ())
    return [
        item
        for turn in kept[max(0, len(kept) - newest) :]
        for item in sorted(items_of_turn(turn, log), key=lambda record: record.item.index)
        if not item.item.removed
    ]


def projection(
    snapshot: Snapshot, session: SessionKey, scopes: Iterable[ScopeKey], keys: Iterable[DocumentKey]
) -> Projection | None:
    record = snapshot.of(SESSIONS).get(session)
    if record is None or record.deleted:
        return None
    return Projection(
        session=own(record),
        head=snapshot.of(SESSION_HEADS)[session],
        states=states(snapshot, scopes),
        active=tuple(open_requests(snapshot, session)),
        time=time_of(snapshot),
        documents=documents_of(snapshot, keys),
    )


def open_requests(snapshot: Snapshot, session: SessionKey) -> list[RequestHead]:
    """Those of the session's present incarnation, the oldest first: a snapshot keeps requests as they were made."""
    record = snapshot.of(SESSIONS).get(session)
    log = None if record is None else (session, record.log_id)
    heads = [request.head for request in snapshot.of(REQUESTS).values()]
    return [head for head in heads if (head.session, head.session_log_id) == log and head.status.open]


def running(snapshot: Snapshot, process: str) -> Sequence[RequestRecord]:
    return [
        replace(one, input=b"")
        for one in snapshot.of(REQUESTS).values()
        if one.head.process == process and one.head.status is RequestStatus.IN_PROGRESS
    ]


def _events_of(snapshot: Snapshot, request: RequestRecord) -> Iterable[EventRecord]:
    head = request.head
    log = snapshot.events.get((head.session, head.session_log_id), ())
    return (event for event in log if event.request_id == head.key.request_id)


def items_of_turn(turn: TurnRecord, log: Iterable[EventRecord]) -> Iterable[ItemRecord]:
    key = turn.key
    for one in log:
        item = one.event.item
        of_turn = (
            one.request_id == turn.request_id
            if turn.request_id
            else turn.first <= one.session_sequence <= turn.last
        )
        if of_turn and item is not None and one.event.type is EventType.ITEM_DONE:
            yield ItemRecord(
                item=item,
                session=key.session,
                session_log_id=key.log_id,
                request_id=one.request_id,
                session_sequence=one.session_sequence,
                create_time=one.time,
                turn=key.number,
            )
