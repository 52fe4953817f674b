"""The sweep of blobs: what is due is doomed, what was doomed is deleted."""

from __future__ import annotations

from collections.abc import Mapping

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.blobs import (
    BlobDue,
    BlobHead,
    BlobKey,
    BlobStatus,
    due_key,
    due_of,
    first_due,
    first_released,
    head_key,
    head_of,
    released_blob,
)
from flowstate_server.model.clock import Micros
from flowstate_server.stores.contract.blob_writes import DoomBlob, ForgetBlob, ReleaseBlob
from flowstate_server.stores.contract.blobs import BlobPieces
from flowstate_server.stores.contract.document_writes import DeleteDocument
from flowstate_server.stores.contract.pages import those_understood
from flowstate_server.stores.contract.writes import Write
from flowstate_server.stores.store import Store

PIECES = 16
"""Pieces that go in one delete, 16 MiB at most."""


async def sweep(store: Store, pieces: BlobPieces, *, grace: Micros, limit: int) -> int:
    """See :meth:`Blobs.sweep`. Each step may be made twice, or be left half done: the next sweep finds it as due as it
    was. A note that does not hold any more is deleted, and nothing else is done."""
    released = await _release_noted(store, grace, limit)
    now = await store.time()
    notes = await store.read_documents(first_due(limit))
    dues = list(those_understood([note.key for note in notes], lambda key: key, due_of))
    dues = [due for due in dues if due.time <= now]
    if not dues:
        return released
    heads = await _heads(store, dues)
    writes: list[Write] = []
    for due in dues:
        head = heads.get(due.blob)
        holds = head is not None and head.due_time == due.time
        doomed = head is not None and head.status is BlobStatus.DOOMED
        if holds and doomed and not await _deleted(pieces, due.blob):
            continue
        writes.append(DeleteDocument(due_key(due)))
        if holds:
            writes.append(ForgetBlob(due.blob) if doomed else DoomBlob(due.blob, due=due.time, grace=grace))
    if writes:
        await store.commit(tuple(writes))
    return released + sum(isinstance(write, DeleteDocument) for write in writes)


async def _release_noted(store: Store, grace: Micros, limit: int) -> int:
    notes = [note.key for note in await store.read_documents(first_released(limit))]
    blobs = those_understood(notes, lambda key: key, released_blob)
    writes: list[Write] = [ReleaseBlob(blob, grace) for blob in blobs]
    if notes:
        await store.commit((*writes, *map(DeleteDocument, notes)))
    return len(notes)


async def _deleted(pieces: BlobPieces, blob: BlobKey) -> bool:
    """Pieces that can't be deleted now stay due, and hold up no others."""
    try:
        while await pieces.delete(blob.id, limit=PIECES):
            pass
    except StoreUnavailableError:
        return False
    return True


async def _heads(store: Store, dues: list[BlobDue]) -> Mapping[BlobKey, BlobHead]:
    documents = await store.load_documents([head_key(due.blob) for due in dues])
    heads = those_understood(documents.values(), lambda document: document.key, head_of)
    return {head.key: head for head in heads}
