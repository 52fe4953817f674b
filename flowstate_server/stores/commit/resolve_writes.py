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
from flowstate_server.stores.contract.writes import SessionChanged, WriteResult


def need_resolve_key(write: HoldResolveKey, needs: Needs) -> None:
    need_owner(held_document(write.session, write.log_id).owner, needs)
    need_release(write.session, write.log_id, write.held, needs)
    if write.key is not None:
        needs.add(DOCUMENTS, resolved_document(write.key))


def hold_resolve_key(work: WorkingSet, write: HoldResolveKey) -> WriteResult:
    document = held_document(write.session, write.log_id)
    require_owner(work, document.owner)
    if write.key == write.held:
        _check_held(work, write.session, write.log_id, write.held)
        return WriteResult(id=write.session.session_id, changed=False)
    release(work, write.session, write.log_id, write.held)
    if write.key is not None:
        _take(work, resolved_document(write.key), encode_resolved(write.session, write.log_id), write.dead)
        put(work, document, encode_held(write.key))
    return WriteResult(id=write.session.session_id)


def need_release(session: SessionKey, log_id: str, held: ResolveKey | None, needs: Needs) -> None:
    """What :func:`release` needs."""
    needs.add(DOCUMENTS, held_document(session, log_id))
    if held is not None:
        needs.add(DOCUMENTS, resolved_document(held))


def release(work: WorkingSet, session: SessionKey, log_id: str, held: ResolveKey | None) -> None:
    """Free the key that the session is resolved by; whoever deletes a session does so.

    Raises:
        SessionChanged: it is resolved by another one than ``held``.
    """
    _check_held(work, session, log_id, held)
    if held is None:
        return
    work.documents.remove(held_document(session, log_id))
    known = work.documents.find(resolved_document(held))
    if known is not None and decode_resolved(known) == (session, log_id):
        work.documents.remove(known.key)


def _take(work: WorkingSet, key: DocumentKey, text: bytes, dead: str) -> None:
    taken = work.documents.find(key)
    if taken is not None:
        if taken.incarnation != dead:
            raise ResolveKeyTaken
        work.documents.remove(key)  # so that nobody else finds it as dead as it was
    put(work, key, text)


def _check_held(work: WorkingSet, session: SessionKey, log_id: str, held: ResolveKey | None) -> None:
    if decode_held(work.documents.find(held_document(session, log_id))) != held:
        raise SessionChanged
