"""Content of resources from outside a run: written in pieces, each a call of its own, and read as a stream."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from hashlib import sha256

from flowstate_server.engine.bindings import Bindings
from flowstate_server.engine.calls.resources import (
    ContentPart,
    ContentPiece,
    ContentRead,
    ContentReceived,
    ResourceAnswer,
    ResourceRef,
)
from flowstate_server.engine.records.contents import Contents
from flowstate_server.engine.records.on_behalf import request_of
from flowstate_server.engine.records.resource_answers import ResourceAnswers
from flowstate_server.engine.records.resource_owners import FoundOwner
from flowstate_server.engine.records.resource_races import settled
from flowstate_server.engine.records.resource_targets import ResourceTarget, ResourceTargets
from flowstate_server.engine.records.resource_writing import ResourceWriting, WriteTerms
from flowstate_server.engine.resource_change import ResourceRules
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    CursorAheadError,
    ResourceNotFoundError,
    ValidationFailedError,
    VersionMismatchError,
    Violation,
)
from flowstate_server.model.blobs import MAX_BLOB_BYTES, BlobKey, head_key
from flowstate_server.model.clock import Micros, micros
from flowstate_server.model.documents import Document, DocumentKey
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.resources import (
    ContentRecord,
    ResourceKey,
    ResourceOwner,
    ResourceRecord,
    resource_in,
    upload_key,
    upload_text,
    uploading,
)
from flowstate_server.model.scopes import SessionKey
from flowstate_server.programs.resource_names import check_name
from flowstate_server.stores.blobs import Blobs
from flowstate_server.stores.contract.blob_writes import BlobUnavailable, CompleteBlob
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.contract.tombstone_writes import Withheld, Withhold
from flowstate_server.stores.contract.writes import Exists, PutIdempotencyKey, RequireRun, Write, WriteResult
from flowstate_server.stores.store import Store

OTHER_CONTENT = "other content"
REMEMBERED = 1_000
"""Uploads of which it is remembered where they go, so that one read tells whether they still may."""


@frozen
class _Upload:
    """``head`` is the blob's, if it was read along."""

    key: DocumentKey
    blob: BlobKey
    head: Document | None


class ResourceTransfers:
    def __init__(
        self,
        store: Store,
        bindings: Bindings,
        settings: EngineSettings,
        targets: ResourceTargets,
        writing: ResourceWriting,
        answers: ResourceAnswers,
        blobs: Blobs,
        contents: Contents,
    ) -> None:
        self._store = store
        self._bindings = bindings
        self._lifetime: Micros = micros(settings.upload_retention)
        self._targets = targets
        self._writing = writing
        self._answers = answers
        self._blobs = blobs
        self._contents = contents
        self._uploads: OrderedDict[DocumentKey, BlobKey] = OrderedDict()

    async def write(self, principal: Principal, piece: ContentPiece) -> ContentReceived:
        """Keep a piece that begins where the received content ends; with the last one make it visible, all at once.

        An upload lives as a document of the owner, so any server takes the next piece, or the same once more.
        """
        ref = piece.resource
        check_name("name", ref.name)
        check_id("upload_id", piece.upload_id)
        if not 0 <= piece.position <= MAX_BLOB_BYTES:
            problem = f"must be 0 to {MAX_BLOB_BYTES}"
            raise ValidationFailedError((Violation("position", "range", problem),))
        session = SessionKey(principal.tenant, ref.scope.id)
        return await settled(lambda: self._write(principal, piece), lambda: self._bindings.forget(session))

    async def _write(self, principal: Principal, piece: ContentPiece) -> ContentReceived:
        target = await self._targets.resolve(principal, piece.resource.scope, "scope")
        rules = self._targets.rules(target, piece.resource.name)
        request = await request_of(self._store, principal, piece.request_id, target.scope, "scope")
        found = await self._targets.owner(target)
        upload = await self._upload(principal, piece, target, found)
        remember = self._remembering(principal, piece, upload.key)
        try:
            received = await self._blobs.append(upload.blob, piece.position, piece.data, head=upload.head)
        except BlobUnavailable:  # over its time, given up, or finished and replaced since
            repeat = await self._repeated(remember) if piece.finish else None
            if repeat is not None:
                return self._replayed(piece, target, repeat)
            await self._store.commit((DeleteDocument(upload.key),))
            return ContentReceived(0)
        size = piece.position + len(piece.data)
        if not piece.finish or received != size:
            return ContentReceived(received)
        try:
            complete = await self._blobs.verify(upload.blob, size=size, sha256=piece.sha256)
        except ValidationFailedError:
            await self._store.commit((DeleteDocument(upload.key),))
            raise
        terms = WriteTerms(piece.precondition, request=request)
        return await self._finish(piece, target, found, rules, terms, complete, remember)

    async def _upload(
        self, principal: Principal, piece: ContentPiece, target: ResourceTarget, found: FoundOwner
    ) -> _Upload:
        """Where the upload goes; its first piece begins it. One that began before there was a record of the user or org
        is known by no incarnation."""
        nobody = ResourceOwner(target.scope, "")
        owners = [found.owner] if found.exists else [nobody]
        if found.exists and target.guard is None:
            owners.append(nobody)
        name, upload_id = piece.resource.name, piece.upload_id
        keys = [upload_key(owner, name, principal.key, upload_id) for owner in owners]
        heads = [head_key(self._uploads[key]) for key in keys if key in self._uploads]
        documents = await self._store.load_documents((*keys, *heads))
        for key in keys:
            if key in documents:
                blob = self._remember(key, uploading(documents[key]))
                return _Upload(key, blob, documents.get(head_key(blob)))
        begin = self._blobs.beginning(principal.tenant)
        guards: list[Write] = [] if target.guard is None else [target.guard]
        put = PutDocument(keys[0], upload_text(begin.key), Exists(False), lifetime=self._lifetime)
        try:
            begun = await self._store.commit((*guards, begin, put))
        except VersionMismatchError:  # its first piece came twice at once
            return await self._upload(principal, piece, target, found)
        return _Upload(keys[0], self._remember(keys[0], begin.key), begun.results[-2].document)

    def _remember(self, upload: DocumentKey, blob: BlobKey) -> BlobKey:
        self._uploads[upload] = blob
        self._uploads.move_to_end(upload)
        if len(self._uploads) > REMEMBERED:
            self._uploads.popitem(last=False)
        return blob

    def _remembering(
        self, principal: Principal, piece: ContentPiece, upload: DocumentKey
    ) -> PutIdempotencyKey:
        """The end of an upload is remembered as other calls are, whatever becomes of the content afterwards."""
        digest = sha256(encode_json([*upload.name])).hexdigest()
        key = IdempotencyKey(principal.tenant, principal.key, "WriteContent", digest)
        fingerprint = f"{piece.position + len(piece.data)} {piece.media_type}"
        return PutIdempotencyKey(key, fingerprint, self._lifetime)

    async def _repeated(self, remember: PutIdempotencyKey) -> WriteResult | None:
        try:
            return (await self._store.commit((remember, Withhold()))).results[-1]
        except Withheld:
            return None

    async def _finish(
        self,
        piece: ContentPiece,
        target: ResourceTarget,
        found: FoundOwner,
        rules: ResourceRules,
        terms: WriteTerms,
        complete: CompleteBlob,
        remember: PutIdempotencyKey,
    ) -> ContentReceived:
        ref = piece.resource
        content = ContentRecord(complete.key, complete.size, complete.sha256)
        change = await self._writing.change(
            found,
            ref.name,
            rules,
            (),
            terms,
            content=content,
            media_type=piece.media_type or None,
        )
        guards: list[Write] = [] if terms.request is None else [RequireRun(terms.request, None)]
        guards += [] if target.guard is None else [target.guard]
        result = await self._store.commit((remember, *guards, complete, change))
        done = result.results[-1]
        if done.document is None:
            return self._replayed(piece, target, done)
        record = resource_in(done.document)
        answer = await self._answers.answer(ref.scope, target, record, full=True)
        return ContentReceived(complete.size, answer, done.changed)

    def _replayed(self, piece: ContentPiece, target: ResourceTarget, done: WriteResult) -> ContentReceived:
        ref = piece.resource
        record = ResourceRecord(ResourceKey(target.scope, ref.name), version=done.version)
        answer = ResourceAnswer(ref.scope, record, None)
        return ContentReceived(piece.position + len(piece.data), answer, done.changed)

    async def read(self, principal: Principal, call: ContentRead) -> AsyncGenerator[ContentPart, None]:
        """The content of one version from a position on, whatever is written meanwhile.

        Raises:
            VersionMismatchError: it is not the content that is meant.
            CursorAheadError: the position lies beyond its end.
        """
        ref = call.resource
        check_name("name", ref.name)
        if call.position < 0:
            raise ValidationFailedError((Violation("position", "range", "must not be negative"),))
        session = SessionKey(principal.tenant, ref.scope.id)
        answer = await settled(lambda: self._readable(principal, ref), lambda: self._bindings.forget(session))
        scope, record, content = ref.scope.kind.value, answer.record, answer.record.content
        size = 0 if content is None else content.size
        if call.if_sha256 and call.if_sha256 != ("" if content is None else content.sha256):
            raise VersionMismatchError(scope, OTHER_CONTENT, record.version, f"{scope} resource")
        if call.position > size:
            raise CursorAheadError(call.position, size)
        position, resource = call.position, answer
        if position < size:
            try:
                async with aclosing(self._contents.read(record, position)) as pieces:
                    async for data in pieces:
                        yield ContentPart(position, data, resource if position == call.position else None)
                        position += len(data)
            except ResourceNotFoundError:
                raise VersionMismatchError(
                    scope, OTHER_CONTENT, record.version, f"{scope} resource"
                ) from None
        else:
            yield ContentPart(position, b"", resource)

    async def _readable(self, principal: Principal, ref: ResourceRef) -> ResourceAnswer:
        target = await self._targets.resolve(principal, ref.scope, "scope")
        full = principal.plane is Plane.TRUSTED
        record = await self._answers.read(target, ref.name, full=full)
        answer = await self._answers.answer(ref.scope, target, record, full=full)
        if not answer.content_shown:
            raise ResourceNotFoundError(target.scope.kind.value, ref.name)
        return answer
