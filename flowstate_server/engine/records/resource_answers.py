"""Resources as callers may see them."""

from __future__ import annotations

from flowstate_server.engine.calls.resources import MAX_INLINE_BYTES, ResourceAnswer
from flowstate_server.engine.calls.state import ScopeTarget
from flowstate_server.engine.records.resource_targets import ResourceTarget, ResourceTargets
from flowstate_server.engine.records.resource_views import ResourceViews
from flowstate_server.errors import ResourceNotFoundError, SessionNotFoundError
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import Failure
from flowstate_server.model.resources import ResourceRecord, resource_in, resource_key
from flowstate_server.stores.blobs import Blobs
from flowstate_server.stores.contract.pages import understood_one
from flowstate_server.stores.contract.writes import SessionChanged
from flowstate_server.stores.store import Store


class ResourceAnswers:
    def __init__(self, store: Store, targets: ResourceTargets, views: ResourceViews, blobs: Blobs) -> None:
        self._store = store
        self._targets = targets
        self._views = views
        self._blobs = blobs

    async def read(self, target: ResourceTarget, name: str, *, full: bool) -> ResourceRecord:
        """The newest record.

        Raises:
            ResourceNotFoundError: there is none, or, unless all is to be seen, none that is shown: the same of both.
            SessionNotFoundError, SessionChanged: the session is not there as it was meant.
        """
        record = None
        if full or target.declared(name, shown=True) is not None:
            record = await self._read(target, name)
        elif target.guard is not None:
            await self._targets.require(target, (await self._targets.owner(target)).owner)
        if record is None:
            raise target.missing(name) if full else ResourceNotFoundError(target.scope.kind.value, name)
        return record

    async def _read(self, target: ResourceTarget, name: str) -> ResourceRecord | None:
        found = await self._targets.owner(target)
        key = resource_key(found.owner, name)
        if target.guard is not None:
            read = await self._store.read_projection(target.guard.key, (), (key,))
            if read is None:
                raise SessionNotFoundError(target.guard.key.session_id)
            if read.session.log_id != target.guard.log_id:
                raise SessionChanged
            document = read.documents.get(key)
        else:
            # Nothing is written for an owner that is gone, so what is read here was true while it was there.
            document = (await self._store.load_documents((key,))).get(key) if found.exists else None
        return None if document is None else understood_one(key, document, resource_in)

    async def answer(
        self,
        scope: ScopeTarget,
        target: ResourceTarget,
        record: ResourceRecord,
        *,
        full: bool,
        with_content: bool = False,
    ) -> ResourceAnswer:
        declared = target.declared(record.key.name, shown=not full)
        if full:
            described = None if declared is None else declared[1]
            state: bytes | None = encode_json(self._views.whole(described, record))
            content_shown = True
        else:
            if declared is None or declared[1].shown is None:
                raise ResourceNotFoundError(target.scope.kind.value, record.key.name)
            shown = await self._views.shown(*declared, record)
            state = None if isinstance(shown, Failure) else encode_json(shown)
            content_shown = declared[1].shown.content
        content = await self._short(record) if with_content and content_shown else b""
        return ResourceAnswer(scope, record, state, content, content_shown)

    async def _short(self, record: ResourceRecord) -> bytes:
        content = record.content
        if content is None or content.size > MAX_INLINE_BYTES:
            return b""
        head = await self._blobs.open(content.blob)
        return b"".join([piece async for piece in self._blobs.read(head)])
