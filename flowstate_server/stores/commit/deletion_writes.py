"""Deletions: a session becomes a tombstone, and takes its state and its open requests along."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.model.events import Event
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.payloads import RequestAborted, encode_terminal
from flowstate_server.model.records import Outcome, RequestHead, RequestStatus, SessionRecord, StateRecord
from flowstate_server.model.scopes import session_scope
from flowstate_server.stores.commit.working_set import WorkingSet, check_precondition, moved
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.tables import DOCUMENTS, SESSIONS, STATES, Needs
from flowstate_server.stores.contract.writes import SessionChanged, WriteResult

REASON = "the session was deleted"
"""Why its open requests are aborted."""


def need_deletion(write: DeleteSession, needs: Needs) -> None:
    needs.add(SESSIONS, write.key)
    needs.add(STATES, session_scope(write.key))
    needs.update(DOCUMENTS, write.documents)
    needs.open_requests.add(write.key)


def delete_session(work: WorkingSet, write: DeleteSession) -> WriteResult:
    if write.idle_since is not None and not _is_idle(work, write):
        return WriteResult(id=write.key.session_id, changed=False)
    session = work.live_session(write.key)
    if write.incarnation and session.log_id != write.incarnation:
        raise SessionChanged
    if write.precondition is not None:
        check_precondition("session", write.precondition, session.version, exists=True)
    aborted = work.open_requests(session.key)
    for head in aborted:
        _abort(work, head)
    for key in write.documents:
        work.documents.remove(key)
    state = work.state(session_scope(session.key))
    if state.exists:
        work.states.put(state.key, tombstone_of(work, state))
    tombstone = replace(
        session, delete_time=work.time, update_time=work.time, title="", description="", tags=(), metadata={}
    )
    work.sessions.put(session.key, tombstone)
    return WriteResult(
        id=session.key.session_id,
        version=session.version,
        ids=tuple([head.key.request_id for head in aborted]),
        session=tombstone,
    )


def tombstone_of(work: WorkingSet, state: StateRecord) -> StateRecord:
    """What is kept of a deleted state: its version, from which the next one goes on."""
    return StateRecord(
        state.key,
        version=state.version,
        incarnation=state.incarnation,
        create_time=state.create_time,
        update_time=work.time,
        generations=state.generations,
    )


def _is_idle(work: WorkingSet, write: DeleteSession) -> bool:
    session: SessionRecord | None = work.sessions.get(write.key)
    if session is None or session.deleted or session.log_id != write.incarnation:
        return False
    idle = work.session_head(session).activity_time <= (write.idle_since or 0)
    return idle and not work.open_requests(write.key)


def _abort(work: WorkingSet, head: RequestHead) -> None:
    """Its run may be on another server, which is told as of any that is asked to cancel."""
    told = RequestAborted(REASON)
    head = work.log_request_events(
        head, (Event(told.type, encode_terminal(told.members(), {}), FOR_CLIENTS),)
    )
    head = moved(head, head.sequence, RequestStatus.ABORTED, work.time)
    work.requests.put(head.key, replace(head, cancel_requested=True, cancel_reason=REASON))
    work.outcomes.put(head.key, Outcome(head.key, reason=REASON))
