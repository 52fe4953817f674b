"""Deletions: a session becomes a tombstone with its state and its open requests, or loses the oldest of its history."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.model.records import (
    RequestHead,
    SessionRecord,
    StateRecord,
    removed_head,
)
from flowstate_server.model.removals import decode_removals, removals_key
from flowstate_server.model.resolve_keys import resolved_document
from flowstate_server.model.resources import ResourceOwner, counts_key
from flowstate_server.model.scopes import SessionKey, session_scope
from flowstate_server.stores.commit.endings import abort_request, ends_need, leave_queues
from flowstate_server.stores.commit.orphans import note_orphans
from flowstate_server.stores.commit.resolve_writes import free_key
from flowstate_server.stores.commit.working_set import WorkingSet, check_precondition
from flowstate_server.stores.contract.deletion_writes import DeleteSession, RemoveHistory
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    REQUEST_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Cut,
    Needs,
)
from flowstate_server.stores.contract.writes import SessionChanged, WriteResult

REASON = "the session was deleted"
"""Why its open requests are aborted."""


def need_deletion(write: DeleteSession, needs: Needs) -> None:
    needs.add(SESSIONS, write.key)
    needs.add(STATES, session_scope(write.key))
    if write.held is not None:
        needs.add(DOCUMENTS, resolved_document(write.held))
    if write.incarnation:
        needs.add(DOCUMENTS, counts_key(_owner(write.key, write.incarnation)))
    needs.open_requests.add(write.key)


def delete_session(work: WorkingSet, write: DeleteSession) -> WriteResult:
    if write.idle_since is not None and not _is_idle(work, write):
        return WriteResult(id=write.key.session_id, changed=False)
    session = work.live_session(write.key)
    if write.incarnation and session.log_id != write.incarnation:
        raise SessionChanged
    if write.precondition is not None:
        check_precondition(
            "session",
            write.precondition,
            session.version,
            exists=True,
            incarnation=session.log_id,
            called="session",
        )
    aborted = work.open_requests(session.key)
    work.require(ends_need(aborted))
    leave_queues(work, aborted)
    for head in aborted:
        _abort(work, head)
    if write.held is not None:
        free_key(work, session.key, session.log_id, write.held)
    owner = _owner(session.key, session.log_id)
    if not write.incarnation or work.documents.find(counts_key(owner)) is not None:
        note_orphans(work, owner)
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


def _owner(session: SessionKey, log_id: str) -> ResourceOwner:
    return ResourceOwner(session_scope(session), log_id)


def need_removal(write: RemoveHistory, needs: Needs) -> None:
    needs.add(SESSIONS, write.key)
    needs.update(REQUEST_HEADS, write.requests)
    needs.update(TURNS, write.turns)
    if write.removals is not None:
        needs.add(DOCUMENTS, removals_key(write.key, write.incarnation))


def remove_history(work: WorkingSet, write: RemoveHistory) -> WriteResult:
    session = work.sessions.get(write.key)
    if session is None or session.deleted or session.log_id != write.incarnation:
        return WriteResult(id=write.key.session_id, changed=False)
    head = work.session_head(session)
    if head.floor != write.floor or not _are_removed(work, write):
        return WriteResult(id=write.key.session_id, changed=False)
    if write.place > head.sequence:
        raise ValueError("a log can't be cut beyond its end")
    heads = [work.requests.get(key) for key in write.requests]
    ended = [one for one in heads if one is not None and work.is_there(one) and one.status.ended]
    ended = [one for one in ended if (one.session, one.session_log_id) == (session.key, session.log_id)]
    for one in ended:
        work.requests.put(one.key, removed_head(one, work.time))
    for turn in write.turns:
        if work.turns.get(turn) is not None and (turn.session, turn.log_id) == (session.key, session.log_id):
            work.turns.remove(turn)
    if not ended and write.place <= head.floor:
        return WriteResult(id=session.key.session_id, changed=False)
    keys = tuple([one.key for one in ended])
    work.cuts.append(Cut(session.key, session.log_id, head.floor, write.place, keys))
    work.session_heads.put(session.key, replace(head, floor=max(head.floor, write.place)))
    return WriteResult(id=session.key.session_id, ids=tuple([key.request_id for key in keys]))


def _are_removed(work: WorkingSet, write: RemoveHistory) -> bool:
    """Whether items were removed as often as the write says, and no more turns with them."""
    counter = removals_key(write.key, write.incarnation)
    return write.removals in (None, decode_removals(work.documents.find(counter)))


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
    head = abort_request(work, head, REASON)
    work.requests.put(head.key, replace(head, cancel_requested=True, cancel_reason=REASON))
