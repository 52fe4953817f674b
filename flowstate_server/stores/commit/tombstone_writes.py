"""Deleting user and org records, and forgetting that they were."""

from __future__ import annotations

from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import StateRecord
from flowstate_server.model.resources import ResourceOwner
from flowstate_server.model.tombstones import (
    DeletedState,
    floor_in,
    floor_key,
    last_deletion_in,
    last_deletion_key,
)
from flowstate_server.stores.commit.deletion_writes import tombstone_of
from flowstate_server.stores.commit.document_writes import put
from flowstate_server.stores.commit.orphans import note_orphans
from flowstate_server.stores.commit.state_writes import SHARED, check_state
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.tables import DOCUMENTS, STATES, Needs
from flowstate_server.stores.contract.tombstone_writes import ForgetState
from flowstate_server.stores.contract.writes import DeleteState, WriteResult


def need_deletion(write: DeleteState, needs: Needs) -> None:
    needs.add(STATES, write.key)
    if write.key.kind in SHARED:
        needs.update(DOCUMENTS, (floor_key(write.key), last_deletion_key(write.key)))


def delete_state(work: WorkingSet, write: DeleteState) -> WriteResult:
    key = write.key
    if key.kind not in SHARED:
        raise ValueError("only user and org records are deleted by themselves")
    record = work.state(key)
    if record.exists or not write.allow_missing:
        check_state(record, write.precondition)
    if not record.exists:
        return WriteResult(id=key.id, version=record.version, changed=False, state=record)
    tombstone = tombstone_of(work, record)
    work.states.put(key, tombstone)
    _note_deletion(work, tombstone)
    note_orphans(work, ResourceOwner(key, tombstone.incarnation))
    return WriteResult(id=key.id, version=tombstone.version, state=tombstone)


def _note_deletion(work: WorkingSet, tombstone: StateRecord) -> None:
    """The floor is there from now on: who waits for a tombstone that is being forgotten waits for the floor as well,
    and would not see one that came only then."""
    floor = floor_key(tombstone.key)
    if work.documents.find(floor) is None:
        put(work, floor, encode_json(0))
    deleted = DeletedState(tombstone.key, tombstone.version, tombstone.incarnation, work.time)
    put(work, deleted.document, deleted.text)
    put(work, last_deletion_key(tombstone.key), encode_json(tombstone.version))


def need_forgotten(write: ForgetState, needs: Needs) -> None:
    needs.add(STATES, write.deleted.key)
    key = write.deleted.key
    needs.update(DOCUMENTS, (write.deleted.document, floor_key(key), last_deletion_key(key)))


def forget_state(work: WorkingSet, write: ForgetState) -> WriteResult:
    deleted = write.deleted
    if work.documents.find(deleted.document) is None:
        return WriteResult(id=deleted.key.id, changed=False)
    work.documents.remove(deleted.document)
    last = work.documents.find(last_deletion_key(deleted.key))
    if last is not None and last_deletion_in(last) <= deleted.version:
        work.documents.remove(last.key)
    record = work.state(deleted.key)
    if not record.exists and (record.version, record.incarnation) == (deleted.version, deleted.incarnation):
        work.states.remove(deleted.key)
        floor = floor_key(deleted.key)
        if floor_in(work.documents.find(floor)) < deleted.version:
            put(work, floor, encode_json(deleted.version))
    return WriteResult(id=deleted.key.id, version=record.version)
