"""By which keys sessions are resolved."""

from __future__ import annotations

from flowstate_server.model.documents import DocumentKey
from flowstate_server.model.resolve_keys import (
    ResolveKey,
    decode_held,
    decode_resolved,
    encode_held,
    encode_resolved,
    held_document,
    resolved_document,
)
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.commit.document_writes import need_owner, put, require_owner
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.resolve_writes import HoldResolveKey, ResolveKeyTaken
from flowstate_server.stores.contract.tables import DOCUMENTS, Needs
from flowstate_server.stores.contract.writes import WriteResult


def need_resolve_key(write: HoldResolveKey, needs: Needs) -> None:
    need_owner(held_document(write.session, write.log_id).owner, needs)
    need_release(write.session, write.log_id, write.held, needs)
    if write.key is not None:
        needs.add(DOCUMENTS, resolved_document(write.key))


def hold_resolve_key(work: WorkingSet, write: HoldResolveKey) -> WriteResult:
    document = held_document(write.session, write.log_id)
    require_owner(work, document.owner)
    before = decode_held(work.documents.find(document))
    if before == write.key or (before is None and write.held is not None):
        return WriteResult(id=write.session.session_id, changed=False)
    release(work, write.session, write.log_id, write.held)
    if write.key is not None:
        _take(work, write, resolved_document(write.key))
        put(work, document, encode_held(write.key))
    return WriteResult(id=write.session.session_id)


def need_release(session: SessionKey, log_id: str, held: ResolveKey | None, needs: Needs) -> None:
    """What :func:`release` needs."""
    needs.add(DOCUMENTS, held_document(session, log_id))
    if held is not None:
        needs.add(DOCUMENTS, resolved_document(held))


def release(work: WorkingSet, session: SessionKey, log_id: str, held: ResolveKey | None) -> None:
    """Let the session be resolved by no key; ``held`` is the one as far as is known."""
    document = held_document(session, log_id)
    if work.documents.get(document) is not None:
        work.documents.remove(document)
    if held is not None:
        free_key(work, session, log_id, held)


def free_key(work: WorkingSet, session: SessionKey, log_id: str, key: ResolveKey) -> None:
    """Let nobody be resolved by the key, if its document names that incarnation of the session."""
    known = work.documents.find(resolved_document(key))
    if known is not None and decode_resolved(known) == (session, log_id):
        work.documents.remove(known.key)


def _take(work: WorkingSet, write: HoldResolveKey, key: DocumentKey) -> None:
    taken = work.documents.find(key)
    if taken is not None:
        if taken.incarnation != write.stale and decode_resolved(taken) != (write.session, write.log_id):
            raise ResolveKeyTaken
        work.documents.remove(key)  # so that nobody else finds it as stale as it was
    put(work, key, encode_resolved(write.session, write.log_id))
