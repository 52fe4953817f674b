"""Events get their places in the logs."""

from __future__ import annotations

from collections.abc import Iterable

from flowstate_server.errors import RequestNotFoundError, RequestTerminalError, SessionNotFoundError
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event, EventRecord
from flowstate_server.model.records import RequestHead, RequestStatus, SessionHead, SessionRecord
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.tables import REQUEST_HEADS, SESSIONS, Needs
from flowstate_server.stores.contract.writes import AppendEvents, WriteResult


def need_logs(write: AppendEvents, needs: Needs) -> None:
    needs.add(SESSIONS, write.session)
    if write.request is not None:
        needs.add(REQUEST_HEADS, write.request)


def append_events(work: WorkingSet, write: AppendEvents) -> WriteResult:
    if write.request is None:
        log_events(work, live_session(work, write.session), write.events)
        return WriteResult(id=write.session.session_id, changed=bool(write.events))
    head = open_request(work, write.request)
    if head.session != write.session:
        raise RequestNotFoundError(write.request.request_id)
    head = log_request_events(work, head, write.events)
    return WriteResult(id=write.request.request_id, changed=bool(write.events), head=head)


def live_session(work: WorkingSet, key: SessionKey) -> SessionRecord:
    session = work.sessions.get(key)
    if session is None or session.deleted:
        raise SessionNotFoundError(key.session_id)
    return session


def session_head(work: WorkingSet, session: SessionRecord) -> SessionHead:
    head = work.session_heads.get(session.key)
    if head is None:
        raise LookupError("the store has loaded a session without its head")
    return head


def session_of(work: WorkingSet, head: RequestHead) -> SessionRecord:
    """The session that the request was made in, if it lives and was not made anew since."""
    session = live_session(work, head.session)
    if session.log_id != head.session_log_id:
        raise SessionNotFoundError(head.session.session_id)
    return session


def known_request(work: WorkingSet, key: RequestKey) -> RequestHead:
    head = work.requests.get(key)
    if head is None:
        raise RequestNotFoundError(key.request_id)
    return head


def open_request(work: WorkingSet, key: RequestKey) -> RequestHead:
    head = known_request(work, key)
    if head.status.ended:
        raise RequestTerminalError(key.request_id)
    return head


def log_events(work: WorkingSet, session: SessionRecord, events: Iterable[Event]) -> None:
    """Append to the session's log only."""
    _append(work, session, events, request_id="", sequence=0)


def log_request_events(work: WorkingSet, head: RequestHead, events: tuple[Event, ...]) -> RequestHead:
    """Append to the log of the request and of its session; gives back the request's new head."""
    if not events:
        return head
    _append(work, session_of(work, head), events, request_id=head.key.request_id, sequence=head.sequence)
    head = moved(head, head.sequence + len(events))
    work.requests.put(head.key, head)
    return head


def moved(
    head: RequestHead,
    sequence: int,
    status: RequestStatus | None = None,
    end_time: Micros = 0,
) -> RequestHead:
    """``head``, of an open request, at ``sequence``. Every batch of a run does this, and ``replace`` takes four times
    as long."""
    return RequestHead(
        head.key,
        head.session,
        head.session_log_id,
        head.log_id,
        head.user_id,
        head.fingerprint,
        head.process,
        status or head.status,
        head.create_time,
        head.cancel_requested,
        head.cancel_reason,
        head.attempt,
        sequence,
        end_time,
    )


def _append(
    work: WorkingSet, session: SessionRecord, events: Iterable[Event], *, request_id: str, sequence: int
) -> None:
    head = session_head(work, session)
    position = head.sequence
    for event in events:
        _check_text(event)
        position += 1
        if request_id:
            sequence += 1
        work.events.append(
            EventRecord(event, session.key, session.log_id, position, request_id, sequence, work.time)
        )
    if position > head.sequence:
        moved = SessionHead(head.key, head.log_id, position, head.turns, work.time, head.floor)
        work.session_heads.put(session.key, moved)


def _check_text(event: Event) -> None:
    """Text that can't be written as UTF-8 must refuse its batch here, not fail the group in the adapter."""
    for name in event.block_path:
        name.encode()
    if event.item is not None:
        (event.item.item_id + event.item.role + event.item.name).encode()
