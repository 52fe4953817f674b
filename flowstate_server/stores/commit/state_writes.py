"""States: the newest record, a precondition, a change."""

from __future__ import annotations

from flowstate_server.errors import ScopeUnavailableError
from flowstate_server.model.events import Event
from flowstate_server.model.ids import new_log_id
from flowstate_server.model.parsed_states import state_record
from flowstate_server.model.records import RequestHead, SessionRecord, StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.model.state_parts import StateParts
from flowstate_server.model.tombstones import floor_key, last_deletion_in, last_deletion_key
from flowstate_server.stores.commit.working_set import WorkingSet, check_precondition
from flowstate_server.stores.contract.tables import DOCUMENTS, REQUEST_HEADS, SESSIONS, STATES, Needs
from flowstate_server.stores.contract.writes import (
    Changed,
    ChangeState,
    NoChange,
    Precondition,
    WriteResult,
)

SHARED = (ScopeKind.USER, ScopeKind.ORG)


def need_change(write: ChangeState, needs: Needs) -> None:
    _need_state(write.key, needs)
    if write.request is not None:
        needs.add(REQUEST_HEADS, write.request)


def _need_state(key: ScopeKey, needs: Needs) -> None:
    needs.add(STATES, key)
    if key.kind is ScopeKind.SESSION:
        needs.add(SESSIONS, SessionKey(key.tenant, key.id))
    elif key.kind is ScopeKind.REQUEST:
        needs.add(REQUEST_HEADS, RequestKey(key.tenant, key.id))


def change_state(work: WorkingSet, write: ChangeState) -> WriteResult:
    key = write.key
    request = None if write.request is None else work.open_request(write.request)
    session = work.live_session(SessionKey(key.tenant, key.id)) if key.kind is ScopeKind.SESSION else None
    if key.kind is ScopeKind.REQUEST:
        owner = work.open_request(RequestKey(key.tenant, key.id))
        request = request or owner
    record = work.state(key)
    _check_incarnation(work, write, record, session)
    check_state(record, write.precondition)
    record, change = _change(work, write, record)
    if isinstance(change, NoChange):
        return WriteResult(id=key.id, version=record.version, changed=False, state=record)
    record = _changed_record(work, record, change, write.new_incarnation)
    work.states.put(key, record)
    head = log_change(work, change.events, request, session)
    return WriteResult(id=key.id, version=record.version, state=record, head=head)


def _change(
    work: WorkingSet, write: ChangeState, record: StateRecord
) -> tuple[StateRecord, Changed | NoChange]:
    """What the change makes, and of which record: one that is made anew begins above its owner's floor."""
    change = write.change(record)
    if record.version or isinstance(change, NoChange) or record.key.kind not in SHARED:
        return record, change
    floor = work.floor(floor_key(record.key))
    if not floor:
        return record, change
    above = StateRecord(record.key, version=floor)
    return above, write.change(above)


def _check_incarnation(
    work: WorkingSet, write: ChangeState, record: StateRecord, session: SessionRecord | None
) -> None:
    if write.incarnation is None:
        return
    if not write.incarnation:
        if write.key.kind in SHARED:
            require_undeleted(write.key, _last_deletion(work, record), write.absent_at)
    elif session is not None:
        if session.log_id != write.incarnation:
            raise ScopeUnavailableError(write.key.kind.value, "the session was made anew")
    elif not record.exists or record.incarnation != write.incarnation:
        raise ScopeUnavailableError(write.key.kind.value, "it was deleted")


def require_undeleted(key: ScopeKey, last_deletion: int, absent_at: int) -> None:
    """
    Raises:
        ScopeUnavailableError: the record that was absent at that version came and was deleted since.
    """
    if last_deletion > absent_at:
        raise ScopeUnavailableError(key.kind.value, "it was deleted")


def _last_deletion(work: WorkingSet, record: StateRecord) -> int:
    """The version at which the record was deleted last, as far as is known."""
    if not record.exists:
        return record.version
    key = last_deletion_key(record.key)
    work.require([(DOCUMENTS, key)])
    return last_deletion_in(work.documents.find(key))


def check_state(record: StateRecord, precondition: Precondition | None) -> None:
    if precondition is not None:
        check_precondition(
            record.key.kind.value,
            precondition,
            record.version,
            exists=record.exists,
            incarnation=record.incarnation,
        )


def _changed_record(
    work: WorkingSet, record: StateRecord, change: Changed, new_incarnation: str
) -> StateRecord:
    return state_record(
        record.key,
        version=record.version + 1,
        incarnation=record.incarnation if record.exists else new_incarnation or new_log_id(),
        state=change.state,
        text=_text_of(record, change),
        create_time=record.create_time if record.exists else work.time,
        update_time=work.time,
        generations=record.generations if change.generations is None else change.generations,
        schema_hash=record.schema_hash if change.schema_hash is None else change.schema_hash,
        fitting=change.fitting,
    )


def _text_of(record: StateRecord, change: Changed) -> bytes | StateParts:
    if isinstance(change.text, bytes):
        return change.text
    return (record.parts or StateParts(object(), record.size)).patched(change.text)


def log_change(
    work: WorkingSet, events: tuple[Event, ...], request: RequestHead | None, session: SessionRecord | None
) -> RequestHead | None:
    """Append to the log of the request, else to that of the session, else nowhere. ``session`` is the one that has
    changed: by a request of another one, too."""
    head = None
    if request is not None:
        head = work.log_request_events(request, events)
    elif session is not None:
        work.log_events(session, events)
    if session is not None:
        work.note_activity(session)
    return head
