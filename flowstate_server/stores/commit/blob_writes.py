"""Heads of blobs: uploading, complete, doomed, gone."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.model.blobs import (
    DUE_TEXT,
    BlobDue,
    BlobHead,
    BlobKey,
    BlobStatus,
    due_key,
    head_key,
    head_of,
    head_text,
    released_key,
)
from flowstate_server.model.clock import Micros
from flowstate_server.stores.commit.document_writes import put
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.blob_writes import (
    BeginBlob,
    BlobUnavailable,
    CompleteBlob,
    DoomBlob,
    ForgetBlob,
    ReleaseBlob,
    RequireBlob,
)
from flowstate_server.stores.contract.pages import understood_one
from flowstate_server.stores.contract.tables import DOCUMENTS, Needs
from flowstate_server.stores.contract.writes import WriteResult

BlobWrite = BeginBlob | CompleteBlob | RequireBlob | ReleaseBlob | DoomBlob | ForgetBlob


def need_blob(write: BlobWrite, needs: Needs) -> None:
    """The head alone. The note of its time is named by the time of the commit, which is known to nobody before it, and
    one that is out of date is left to the sweep."""
    needs.add(DOCUMENTS, head_key(write.key))


def begin_blob(work: WorkingSet, write: BeginBlob) -> WriteResult:
    head = _head(work, write.key)
    if head is None:
        return _due(work, BlobHead(write.key, BlobStatus.UPLOADING, Micros(work.time + write.lifetime)))
    if head.status is not BlobStatus.UPLOADING:
        raise BlobUnavailable(write.key)
    return _unchanged(work, write.key)


def complete_blob(work: WorkingSet, write: CompleteBlob) -> WriteResult:
    head = _head(work, write.key)
    if head is None or head.status is BlobStatus.DOOMED:
        raise BlobUnavailable(write.key)
    if head.status is BlobStatus.UPLOADING:
        return _put(work, replace(head, status=BlobStatus.COMPLETE, size=write.size, sha256=write.sha256))
    if (head.size, head.sha256) != (write.size, write.sha256):
        raise BlobUnavailable(write.key)
    return _unchanged(work, write.key)


def require_blob(work: WorkingSet, write: RequireBlob) -> WriteResult:
    head = _head(work, write.key)
    if head is None or head.status is not BlobStatus.COMPLETE:
        raise BlobUnavailable(write.key)
    return _put(work, replace(head, due_time=Micros(0))) if head.due_time else _unchanged(work, write.key)


def adopt_blob(work: WorkingSet, key: BlobKey) -> None:
    """:class:`RequireBlob` for the first to refer to it: what goes with one thing must not be needed by another.

    Raises:
        BlobUnavailable: it is not complete, or something refers to it.
    """
    head = _head(work, key)
    if head is None or head.status is not BlobStatus.COMPLETE or not head.due_time:
        raise BlobUnavailable(key)
    _put(work, replace(head, due_time=Micros(0)))


def release_blob(work: WorkingSet, write: ReleaseBlob) -> WriteResult:
    head = _head(work, write.key)
    due_time = work.time + write.grace
    if head is None or head.status is BlobStatus.DOOMED or 0 < head.due_time <= due_time:
        return _unchanged(work, write.key)
    return _due(work, replace(head, due_time=Micros(due_time)))


def doom_blob(work: WorkingSet, write: DoomBlob) -> WriteResult:
    head = _head(work, write.key)
    if head is None or head.status is BlobStatus.DOOMED or write.due not in (None, head.due_time):
        return _unchanged(work, write.key)
    return _due(work, replace(head, status=BlobStatus.DOOMED, due_time=Micros(work.time + write.grace)))


def forget_blob(work: WorkingSet, write: ForgetBlob) -> WriteResult:
    head = _head(work, write.key)
    if head is None or head.status is not BlobStatus.DOOMED:
        return _unchanged(work, write.key)
    work.documents.remove(head_key(write.key))
    return WriteResult(id=write.key.id)


def note_release(work: WorkingSet, key: BlobKey) -> None:
    """:class:`ReleaseBlob` for writes that learn only from what is stored which blob they cease to refer to: the sweep
    releases it."""
    put(work, released_key(work.time, key), DUE_TEXT)


def _head(work: WorkingSet, key: BlobKey) -> BlobHead | None:
    document = work.documents.find(head_key(key))
    return None if document is None else understood_one(document.key, document, head_of)


def _due(work: WorkingSet, head: BlobHead) -> WriteResult:
    put(work, due_key(BlobDue(head.due_time, head.key)), DUE_TEXT)
    return _put(work, head)


def _put(work: WorkingSet, head: BlobHead) -> WriteResult:
    document = put(work, head_key(head.key), head_text(head))
    return WriteResult(id=head.key.id, version=document.version, document=document)


def _unchanged(work: WorkingSet, key: BlobKey) -> WriteResult:
    document = work.documents.find(head_key(key))
    version = 0 if document is None else document.version
    return WriteResult(id=key.id, version=version, changed=False, document=document)
