"""Every write: what it needs, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from flowstate_server.stores.commit import (
    blob_writes,
    deletion_writes,
    document_writes,
    gate_writes,
    import_writes,
    item_writes,
    journal_writes,
    leases,
    repeats,
    request_writes,
    resolve_writes,
    resource_writes,
    session_writes,
    state_writes,
    tombstone_writes,
)
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract import writes
from flowstate_server.stores.contract.blob_writes import (
    BeginBlob,
    CompleteBlob,
    DoomBlob,
    ForgetBlob,
    ReleaseBlob,
    RequireBlob,
)
from flowstate_server.stores.contract.deletion_writes import DeleteSession, RemoveHistory
from flowstate_server.stores.contract.document_writes import AppendJournal, DeleteDocument, PutDocument
from flowstate_server.stores.contract.gate_writes import BeginRequest, EnterGate
from flowstate_server.stores.contract.item_writes import AppendItems, RemoveItems
from flowstate_server.stores.contract.resolve_writes import HoldResolveKey
from flowstate_server.stores.contract.resource_writes import ChangeResource, DeleteResource
from flowstate_server.stores.contract.tables import Needs
from flowstate_server.stores.contract.tombstone_writes import ForgetState, Withhold
from flowstate_server.stores.contract.writes import Batch, WriteResult


class Meaning(NamedTuple):
    """``need`` names the records that a write reads, ``work`` does it. Both are pure but for what they are handed."""

    need: Callable[[Any, Needs], None]
    work: Callable[[WorkingSet, Any], WriteResult]


def _need_nothing(write: object, needs: Needs) -> None:
    pass


def _do_nothing(work: WorkingSet, write: object) -> WriteResult:
    return WriteResult()


MEANINGS: dict[type, Meaning] = {
    writes.CreateSession: Meaning(session_writes.need_session, session_writes.create_session),
    writes.RequireSession: Meaning(session_writes.need_session, session_writes.require_session),
    writes.UpdateSession: Meaning(session_writes.need_update, session_writes.update_session),
    DeleteSession: Meaning(deletion_writes.need_deletion, deletion_writes.delete_session),
    RemoveHistory: Meaning(deletion_writes.need_removal, deletion_writes.remove_history),
    writes.CreateRequest: Meaning(request_writes.need_creation, request_writes.create_request),
    writes.RequireRun: Meaning(request_writes.need_run, request_writes.require_run),
    writes.RequestCancel: Meaning(request_writes.need_request, request_writes.request_cancel),
    writes.FinishRequest: Meaning(request_writes.need_finish, request_writes.finish_request),
    EnterGate: Meaning(gate_writes.need_entry, gate_writes.enter_gate),
    BeginRequest: Meaning(gate_writes.need_beginning, gate_writes.begin_request),
    writes.ChangeState: Meaning(state_writes.need_change, state_writes.change_state),
    writes.DeleteState: Meaning(tombstone_writes.need_deletion, tombstone_writes.delete_state),
    ForgetState: Meaning(tombstone_writes.need_forgotten, tombstone_writes.forget_state),
    Withhold: Meaning(_need_nothing, _do_nothing),  # `decide` minds these two
    writes.Savepoint: Meaning(_need_nothing, _do_nothing),
    writes.AppendEvents: Meaning(session_writes.need_logs, session_writes.append_events),
    AppendItems: Meaning(item_writes.need_items, item_writes.append_items),
    RemoveItems: Meaning(item_writes.need_removal, item_writes.remove_items),
    AppendJournal: Meaning(journal_writes.need_journal, journal_writes.append_journal),
    HoldResolveKey: Meaning(resolve_writes.need_resolve_key, resolve_writes.hold_resolve_key),
    ChangeResource: Meaning(resource_writes.need_change, resource_writes.change_resource),
    DeleteResource: Meaning(resource_writes.need_deletion, resource_writes.delete_resource),
    PutDocument: Meaning(document_writes.need_document, document_writes.put_document),
    DeleteDocument: Meaning(document_writes.need_document, document_writes.delete_document),
    BeginBlob: Meaning(blob_writes.need_blob, blob_writes.begin_blob),
    CompleteBlob: Meaning(blob_writes.need_blob, blob_writes.complete_blob),
    RequireBlob: Meaning(blob_writes.need_blob, blob_writes.require_blob),
    ReleaseBlob: Meaning(blob_writes.need_blob, blob_writes.release_blob),
    DoomBlob: Meaning(blob_writes.need_blob, blob_writes.doom_blob),
    ForgetBlob: Meaning(blob_writes.need_blob, blob_writes.forget_blob),
    writes.RenewLease: Meaning(leases.need_process, leases.renew_lease),
    writes.FenceProcess: Meaning(leases.need_process, leases.fence_process),
    writes.PutIdempotencyKey: Meaning(repeats.need_key, repeats.put_idempotency_key),
    writes.ImportRecords: Meaning(import_writes.need_imported, import_writes.import_records),
}
"""A write of a new kind has its line here."""


def needs_of(batch: Batch) -> Needs:
    needs = Needs()
    for write in batch:
        MEANINGS[type(write)].need(write, needs)
    return needs


def all_needs(parts: Iterable[Needs]) -> Needs:
    needs = Needs()
    for part in parts:
        needs.merge(part)
    return needs
