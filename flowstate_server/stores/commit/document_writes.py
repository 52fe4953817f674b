"""Documents: their owner, the newest version, a precondition, a change."""

from __future__ import annotations

from flowstate_server.errors import ScopeUnavailableError, VersionMismatchError
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey, Owner, OwnerKind
from flowstate_server.model.ids import new_log_id
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.stores.commit.working_set import WorkingSet, check_precondition
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.contract.tables import Needs
from flowstate_server.stores.contract.writes import SessionChanged, WriteResult

_SCOPES = {OwnerKind.USER: ScopeKind.USER, OwnerKind.ORG: ScopeKind.ORG}


def need_document(write: PutDocument | DeleteDocument, needs: Needs) -> None:
    needs.add(tables.DOCUMENTS, write.key)
    need_owner(write.key.owner, needs)


def need_owner(owner: Owner, needs: Needs) -> None:
    if owner.kind is OwnerKind.SESSION:
        needs.add(tables.SESSIONS, SessionKey(owner.tenant, owner.id))
    elif owner.kind is OwnerKind.REQUEST:
        needs.add(tables.REQUEST_HEADS, RequestKey(owner.tenant, owner.id))
    elif owner.incarnation:
        needs.add(tables.STATE_HEADS, _scope_of(owner))


def require_owner(work: WorkingSet, owner: Owner) -> None:
    """Refuse what would belong to nobody."""
    if owner.kind is OwnerKind.SESSION:
        if work.live_session(SessionKey(owner.tenant, owner.id)).log_id != owner.incarnation:
            raise SessionChanged
    elif owner.kind is OwnerKind.REQUEST:
        work.open_request(RequestKey(owner.tenant, owner.id))
    elif owner.incarnation:
        head = work.state_head(_scope_of(owner))
        if not head.exists or head.incarnation != owner.incarnation:
            raise ScopeUnavailableError(owner.kind.value, "it was deleted")


def _note_activity(work: WorkingSet, owner: Owner) -> None:
    if owner.kind is OwnerKind.SESSION:
        work.note_activity(work.live_session(SessionKey(owner.tenant, owner.id)))


def put_document(work: WorkingSet, write: PutDocument) -> WriteResult:
    require_owner(work, write.key.owner)
    document = work.documents.find(write.key)
    _check(work, write, document)
    if (
        document is not None
        and not write.lifetime
        and not document.expire_time
        and document.text == write.text
    ):
        return _unchanged(document)
    _note_activity(work, write.key.owner)
    return _result(put(work, write.key, write.text, lifetime=write.lifetime))


def delete_document(work: WorkingSet, write: DeleteDocument) -> WriteResult:
    require_owner(work, write.key.owner)
    document = work.documents.find(write.key)
    _check(work, write, document)
    if document is None:
        return WriteResult(changed=False, version=_version(work, write.key))
    _note_activity(work, write.key.owner)
    tombstone = bury(work, document, write.remembered)
    return WriteResult(version=document.version) if tombstone is None else _result(tombstone)


def bury(work: WorkingSet, document: Document, remembered: Micros) -> Document | None:
    """Delete a document that is there; its tombstone, unless nothing is to be remembered."""
    if not remembered:
        work.documents.remove(document.key)
        return None
    tombstone = Document(
        document.key,
        document.version,
        document.incarnation,
        b"",
        create_time=document.create_time,
        update_time=work.time,
        expire_time=Micros(work.time + remembered),
        present=False,
    )
    work.documents.put(document.key, tombstone)
    return tombstone


def put(work: WorkingSet, key: DocumentKey, text: bytes, *, lifetime: Micros = Micros(0)) -> Document:
    """The document with a new text, whatever was there; for the writes of other kinds as well."""
    known = work.documents.get(key)
    alive = known is not None and known.exists(work.time)
    document = Document(
        key,
        version=1 if known is None else known.version + 1,
        incarnation=known.incarnation if known is not None and alive else new_log_id(),
        text=text,
        create_time=known.create_time if known is not None and alive else work.time,
        update_time=work.time,
        expire_time=Micros(work.time + lifetime if lifetime else 0),
    )
    work.documents.put(key, document)
    return document


def _check(work: WorkingSet, write: PutDocument | DeleteDocument, document: Document | None) -> None:
    version = _version(work, write.key)
    if write.precondition is not None:
        check_precondition(
            write.key.kind,
            write.precondition,
            version,
            exists=document is not None,
            incarnation="" if document is None else document.incarnation,
        )
    if write.incarnation and (document is None or document.incarnation != write.incarnation):
        raise VersionMismatchError(write.key.kind, "another incarnation", version)


def _version(work: WorkingSet, key: DocumentKey) -> int:
    known = work.documents.get(key)
    return 0 if known is None else known.version


def _unchanged(document: Document) -> WriteResult:
    return WriteResult(version=document.version, changed=False, document=document)


def _result(document: Document) -> WriteResult:
    return WriteResult(version=document.version, document=document)


def _scope_of(owner: Owner) -> ScopeKey:
    return ScopeKey(_SCOPES[owner.kind], owner.tenant, owner.id, owner.flow_kind)
