"""Resources: their owner, the newest version, a precondition, a change; how many there may be."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import (
    ResourceAlreadyExistsError,
    ResourceDeletedError,
    TooManyResourcesError,
    VersionMismatchError,
)
from flowstate_server.model.blobs import head_key
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event
from flowstate_server.model.json_values import EMPTY_OBJECT, encode_json
from flowstate_server.model.parsed_states import state_record
from flowstate_server.model.records import RequestHead, SessionRecord
from flowstate_server.model.resources import (
    MAX_OF_OWNER,
    ResourceKey,
    ResourceOwner,
    ResourceRecord,
    counts_in,
    counts_key,
    counts_text,
    place_key,
    resource_in,
    resource_key,
    resource_text,
)
from flowstate_server.model.scopes import ScopeKind, SessionKey
from flowstate_server.model.tombstones import floor_key
from flowstate_server.stores.commit.blob_writes import adopt_blob, note_release
from flowstate_server.stores.commit.document_writes import bury, put
from flowstate_server.stores.commit.state_writes import log_change, require_undeleted
from flowstate_server.stores.commit.working_set import WorkingSet, check_precondition
from flowstate_server.stores.contract.blob_writes import BlobUnavailable
from flowstate_server.stores.contract.pages import understood_one
from flowstate_server.stores.contract.resource_writes import (
    ChangeResource,
    Collected,
    DeleteResource,
    ResourceChanged,
    ResourceMoved,
)
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    REQUEST_HEADS,
    SESSIONS,
    STATE_HEADS,
    STATES,
    Needs,
)
from flowstate_server.stores.contract.writes import Exists, NoChange, SessionChanged, WriteResult


def need_change(write: ChangeResource, needs: Needs) -> None:
    _need_resource(write, needs)
    if write.founds is not None:
        needs.add(STATES, write.owner.scope)
        needs.add(DOCUMENTS, floor_key(write.owner.scope))
    elif write.owner.scope.kind is not ScopeKind.SESSION:
        needs.add(STATE_HEADS, write.owner.scope)
    if write.blob is not None:
        needs.add(DOCUMENTS, head_key(write.blob))
    collected = write.collected
    if collected is not None and collected.oldest is not None:
        needs.add(DOCUMENTS, resource_key(write.owner, collected.oldest.name))
        needs.add(DOCUMENTS, place_key(write.owner, collected.pattern, collected.oldest.number))


def need_deletion(write: DeleteResource, needs: Needs) -> None:
    _need_resource(write, needs)
    if write.owner.scope.kind is not ScopeKind.SESSION:
        needs.add(STATE_HEADS, write.owner.scope)
    if write.collection:
        needs.add(DOCUMENTS, place_key(write.owner, write.collection, write.number))


def _need_resource(write: ChangeResource | DeleteResource, needs: Needs) -> None:
    needs.update(DOCUMENTS, (resource_key(write.owner, write.name), counts_key(write.owner)))
    scope = write.owner.scope
    if scope.kind is ScopeKind.SESSION:
        needs.add(SESSIONS, SessionKey(scope.tenant, scope.id))
    if write.request is not None:
        needs.add(REQUEST_HEADS, write.request)


def change_resource(work: WorkingSet, write: ChangeResource) -> WriteResult:
    request = None if write.request is None else work.open_request(write.request)
    session = _owning_session(work, write.owner)
    if session is None:
        _require_record(work, write.owner, may_be_absent=write.founds is not None)
    record = _stored(work, write.owner, write.name)
    _check(record, write)
    change = write.change(record)
    if isinstance(change, NoChange):
        return _result(work, write, changed=False)
    if write.founds is not None:
        _found(work, write)
    events = change.events
    if record.exists:
        made = _moved(record, change)
    else:
        made, evicted = _made(work, write, record, change)
        events = (*evicted, *events)
    _exchange_content(work, write, record, made)
    put(work, resource_key(write.owner, write.name), resource_text(made, change.text))
    head = log_change(work, events, request, session)
    return _result(work, write, changed=True, head=head)


def delete_resource(work: WorkingSet, write: DeleteResource) -> WriteResult:
    request = None if write.request is None else work.open_request(write.request)
    session = _owning_session(work, write.owner)
    if session is None:
        _require_record(work, write.owner, may_be_absent=False)
    record = _stored(work, write.owner, write.name)
    if record.exists or not write.allow_missing:
        _check(record, write)
    if not record.exists:
        return _result(work, write, changed=False)
    if (record.number, record.collection) != (write.number, write.collection):
        raise ResourceMoved
    _bury(work, write.owner, record, write.remembered)
    head = log_change(work, write.gone(record), request, session)
    return _result(work, write, changed=True, head=head)


def _owning_session(work: WorkingSet, owner: ResourceOwner) -> SessionRecord | None:
    scope = owner.scope
    if scope.kind is not ScopeKind.SESSION:
        return None
    session = work.live_session(SessionKey(scope.tenant, scope.id))
    if session.log_id != owner.incarnation:
        raise SessionChanged
    return session


def _require_record(work: WorkingSet, owner: ResourceOwner, *, may_be_absent: bool) -> None:
    head = work.state_head(owner.scope)
    if head.incarnation != owner.incarnation if head.exists else not may_be_absent:
        raise ResourceMoved


def _found(work: WorkingSet, write: ChangeResource) -> None:
    """Make the record of a user or org who has none, for its resources to go with it when it is deleted."""
    key = write.owner.scope
    record = work.state(key)
    if record.exists:
        return
    if write.absent_at is not None:
        require_undeleted(key, record.version, write.absent_at)
    made = state_record(
        key,
        version=(record.version or work.floor(floor_key(key))) + 1,
        incarnation=write.owner.incarnation,
        state={},
        text=EMPTY_OBJECT,
        create_time=work.time,
        update_time=work.time,
        generations=write.founds or (),
    )
    work.states.put(key, made)


def _stored(work: WorkingSet, owner: ResourceOwner, name: str) -> ResourceRecord:
    document = work.documents.get(resource_key(owner, name))
    if document is None:
        return ResourceRecord(ResourceKey(owner.scope, name))
    return understood_one(document.key, document, resource_in)


def _check(record: ResourceRecord, write: ChangeResource | DeleteResource) -> None:
    scope, precondition = record.key.scope.kind.value, write.precondition
    named = write.incarnation or ("" if precondition is None else precondition.incarnation)
    if named and not (record.exists and record.incarnation == named):
        raise ResourceDeletedError(scope, record.key.name)
    if precondition is None:
        return
    if isinstance(precondition, Exists) and not precondition.exists and record.exists:
        raise ResourceAlreadyExistsError(scope, record.key.name)
    try:
        check_precondition(
            scope,
            precondition,
            record.version,
            exists=record.exists,
            incarnation=record.incarnation,
            called=f"{scope} resource",
        )
    except VersionMismatchError as lost:
        lost.newest = record
        raise


def _moved(record: ResourceRecord, change: ResourceChanged) -> ResourceRecord:
    return ResourceRecord(
        record.key,
        exists=True,
        state=change.state,
        content=change.content,
        media_type=change.media_type,
        collection=record.collection,
        number=record.number,
    )


def _made(
    work: WorkingSet, write: ChangeResource, record: ResourceRecord, change: ResourceChanged
) -> tuple[ResourceRecord, tuple[Event, ...]]:
    """A new one in its place, and what is told of the one that it takes the place of."""
    collected = write.collected or Collected("")
    counts = counts_in(work.documents.find(counts_key(write.owner)))
    told: tuple[Event, ...] = ()
    if collected.most is not None and counts.of(collected.pattern) >= collected.most:
        told = _evict(work, write, collected)
        counts = counts_in(work.documents.find(counts_key(write.owner)))
    elif counts.total >= MAX_OF_OWNER:
        raise TooManyResourcesError(record.key.scope.kind.value, MAX_OF_OWNER, "of one owner")
    counts = counts.moved(collected.pattern, 1)
    put(work, counts_key(write.owner), counts_text(counts))
    if collected.pattern:
        put(work, place_key(write.owner, collected.pattern, counts.made), encode_json(record.key.name))
    made = ResourceRecord(
        record.key,
        exists=True,
        state=change.state,
        content=change.content,
        media_type=change.media_type,
        collection=collected.pattern,
        number=counts.made,
    )
    return made, told


def _evict(work: WorkingSet, write: ChangeResource, collected: Collected) -> tuple[Event, ...]:
    if not collected.evicts:
        scope, of_what = write.owner.scope.kind.value, f'"{collected.pattern}"'
        raise TooManyResourcesError(scope, collected.most or 0, of_what)
    if collected.oldest is None:
        raise ResourceMoved
    oldest = _stored(work, write.owner, collected.oldest.name)
    if not oldest.exists or (oldest.number, oldest.collection) != (
        collected.oldest.number,
        collected.pattern,
    ):
        raise ResourceMoved
    _bury(work, write.owner, oldest, write.remembered)
    return write.gone(oldest)


def _bury(work: WorkingSet, owner: ResourceOwner, record: ResourceRecord, remembered: Micros) -> None:
    key = resource_key(owner, record.key.name)
    document = work.documents.find(key)
    if document is not None:  # deleting is a change, too
        bury(work, replace(document, version=document.version + 1), remembered)
    counts = counts_in(work.documents.find(counts_key(owner)))
    put(work, counts_key(owner), counts_text(counts.moved(record.collection, -1)))
    if record.collection:
        work.documents.remove(place_key(owner, record.collection, record.number))
    if record.content is not None:
        note_release(work, record.content.blob)


def _exchange_content(
    work: WorkingSet, write: ChangeResource, before: ResourceRecord, after: ResourceRecord
) -> None:
    if before.content == after.content:
        return
    if after.content is not None:
        if after.content.blob != write.blob:
            raise BlobUnavailable(after.content.blob)
        adopt_blob(work, after.content.blob)
    if before.content is not None:
        note_release(work, before.content.blob)


def _result(
    work: WorkingSet,
    write: ChangeResource | DeleteResource,
    *,
    changed: bool,
    head: RequestHead | None = None,
) -> WriteResult:
    document = work.documents.get(resource_key(write.owner, write.name))
    version = 0 if document is None else document.version
    return WriteResult(id=write.name, version=version, changed=changed, document=document, head=head)
