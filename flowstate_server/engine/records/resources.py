"""Resources from outside a run: reading them, and writing what fits into one message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from hashlib import sha256
from typing import TypeVar

from flowstate_server.engine.bindings import Bindings
from flowstate_server.engine.calls.resources import (
    MAX_INLINE_BYTES,
    ResourceAnswer,
    ResourceDeletion,
    ResourcePage,
    ResourcePut,
    ResourceQuery,
    ResourceRef,
    ResourceWasPut,
    Shown,
)
from flowstate_server.engine.records.contents import Contents
from flowstate_server.engine.records.on_behalf import request_of
from flowstate_server.engine.records.page_token import PageTokens, page_size
from flowstate_server.engine.records.resource_answers import ResourceAnswers
from flowstate_server.engine.records.resource_races import settled
from flowstate_server.engine.records.resource_targets import ResourceTarget, ResourceTargets
from flowstate_server.engine.records.resource_writing import ResourceWriting, WriteTerms
from flowstate_server.engine.resource_change import KEPT, NewContent
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    AccessDeniedError,
    MessageTooLargeError,
    PageTokenInvalidError,
)
from flowstate_server.model.clock import micros
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.json_values import Json
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.resources import (
    ResourceKey,
    ResourceOwner,
    ResourceRecord,
    resource_in,
    resource_range,
)
from flowstate_server.model.scopes import SessionKey
from flowstate_server.programs.resource_names import check_name, fixed_beginning
from flowstate_server.state.operations import Operation, SetValue
from flowstate_server.stores.contract.pages import those_understood
from flowstate_server.stores.contract.resource_writes import ChangeResource
from flowstate_server.stores.contract.tombstone_writes import Withheld, Withhold
from flowstate_server.stores.contract.writes import (
    Batch,
    CommitResult,
    PutIdempotencyKey,
    RequireRun,
    Write,
)
from flowstate_server.stores.store import Store

T = TypeVar("T")

# Resources that a list reads at once.
READ_AT_ONCE = 200


class Resources:
    def __init__(
        self,
        store: Store,
        bindings: Bindings,
        settings: EngineSettings,
        targets: ResourceTargets,
        writing: ResourceWriting,
        answers: ResourceAnswers,
        contents: Contents,
    ) -> None:
        self._store = store
        self._bindings = bindings
        self._settings = settings
        self._targets = targets
        self._writing = writing
        self._answers = answers
        self._contents = contents
        self._tokens = PageTokens(settings.page_token_key)

    async def get(self, principal: Principal, ref: ResourceRef, shown: Shown) -> ResourceAnswer:
        """A resource with its content, if that is short. To a client there is none but those that are shown."""
        full = _is_full(principal, shown)
        check_name("name", ref.name)
        return await self._settled(principal, ref, lambda: self._get(principal, ref, full))

    async def _get(self, principal: Principal, ref: ResourceRef, full: bool) -> ResourceAnswer:
        target = await self._targets.resolve(principal, ref.scope, "scope")
        record = await self._answers.read(target, ref.name, full=full)
        return await self._answers.answer(ref.scope, target, record, full=full, with_content=True)

    async def list(self, principal: Principal, query: ResourceQuery) -> ResourcePage:
        """A page by name, behind the one that the token is of, whatever was written meanwhile."""
        full = _is_full(principal, query.shown)
        size = page_size(query.page_size, self._settings)
        if query.prefix:
            check_name("name_prefix", query.prefix)
        ref = ResourceRef(query.scope, "")
        return await self._settled(principal, ref, lambda: self._list(principal, query, full, size))

    async def _list(self, principal: Principal, query: ResourceQuery, full: bool, size: int) -> ResourcePage:
        target = await self._targets.resolve(principal, query.scope, "scope")
        bound: Json = [
            "resources",
            principal.tenant,
            *target.scope,
            query.scope.flow_kind,
            query.prefix,
            full,
        ]
        after = self._position(bound, query.page_token) if query.page_token else ""
        found = await self._targets.owner(target)
        if not found.exists:
            return ResourcePage([], "")
        page: list[ResourceRecord] = []
        room, more = self._settings.max_page_bytes, False
        async for record, length in self._records(target, found.owner, query.prefix, after, full, size):
            if page and (len(page) == size or length > room):
                more = True
                break
            page.append(record)
            room -= length
        await self._targets.require(target, found.owner)
        answers = [await self._answers.answer(query.scope, target, record, full=full) for record in page]
        return ResourcePage(answers, self._tokens.make(bound, page[-1].key.name) if more else "")

    async def _records(
        self, target: ResourceTarget, owner: ResourceOwner, prefix: str, after: str, full: bool, size: int
    ) -> AsyncIterator[tuple[ResourceRecord, int]]:
        """Those that are to be seen, by name, with the length of what is stored of each.

        What clients do not see is passed over here: neither a page that has an end too early nor a token tells of it.
        """
        limit = min(size + 1, READ_AT_ONCE)
        for begins in [prefix] if full else _shown_beginnings(target, prefix):
            beyond = after
            while True:
                which = resource_range(owner, limit=limit, prefix=begins, after=beyond)
                documents = await self._store.read_documents(which, max_bytes=self._settings.max_page_bytes)
                lengths = {document.key.name[5]: document.size for document in documents}
                for record in those_understood(documents, lambda document: document.key, resource_in):
                    name = record.key.name
                    if full or target.declared(name, shown=True) is not None:
                        yield record, lengths[name]
                if not documents:
                    break
                beyond = documents[-1].key.name[5]

    async def put(self, principal: Principal, put: ResourcePut) -> ResourceWasPut:
        """Make a resource, or write what is given of it, in one commit."""
        ref = put.resource
        check_name("resource.name", ref.name)
        check_id("idempotency_key", put.idempotency_key, required=False)
        if put.content is not None and len(put.content) > MAX_INLINE_BYTES:
            raise MessageTooLargeError("The content", len(put.content), MAX_INLINE_BYTES)
        return await self._settled(principal, ref, lambda: self._put(principal, put))

    async def _put(self, principal: Principal, put: ResourcePut) -> ResourceWasPut:
        ref = put.resource
        target = await self._targets.resolve(principal, ref.scope, "resource.scope")
        rules = self._targets.rules(target, ref.name)
        found = await self._targets.owner(target)
        request = await request_of(self._store, principal, put.request_id, target.scope, "resource.scope")
        batch: list[Write] = []
        if put.idempotency_key:
            key = IdempotencyKey(principal.tenant, principal.key, "PutResource", put.idempotency_key)
            batch.append(PutIdempotencyKey(key, put.fingerprint, micros(self._settings.idempotency_window)))
        if request is not None:
            batch.append(RequireRun(request, None))
        if target.guard is not None:
            batch.append(target.guard)
        terms = WriteTerms(put.precondition, request=request)
        operations: tuple[Operation, ...] = () if put.state is None else (SetValue((), put.state),)

        async def change(content: NewContent) -> ChangeResource:
            return await self._writing.change(
                found, ref.name, rules, operations, terms, content=content, media_type=put.media_type
            )

        content: NewContent = None if put.clear_content else KEPT
        if put.content is None:
            result = await self._store.commit((*batch, await change(content)))
            return await self._was_put(put, target, result)
        # What is refused, or repeated, or changes nothing, is to leave no content to sweep.
        result = await self._tried((*batch, await change(KEPT)))
        if result.replayed:
            return await self._was_put(put, target, result)
        known = _written(result)
        digest = await asyncio.to_thread(sha256, put.content)
        if known is not None and known.has_content(len(put.content), digest.hexdigest()):
            result = await self._store.commit((*batch, await change(KEPT)))
            return await self._was_put(put, target, result)
        async with self._contents.brought(principal.tenant, put.content) as brought:
            last = await change(brought.content)
            result = await self._store.commit((*batch, *brought.writes, last))
            record = _written(result)
            brought.taken = record is not None and record.content == brought.content
        return await self._was_put(put, target, result)

    async def _tried(self, batch: Batch) -> CommitResult:
        """What a commit of ``batch`` would have been answered, or was, if it is a repeat."""
        try:
            return await self._store.commit((*batch, Withhold()))
        except Withheld as withheld:
            return withheld.result

    async def _was_put(
        self, put: ResourcePut, target: ResourceTarget, result: CommitResult
    ) -> ResourceWasPut:
        scope, done, record = put.resource.scope, result.results[-1], _written(result)
        if record is None:
            record = ResourceRecord(ResourceKey(target.scope, put.resource.name), version=done.version)
            return ResourceWasPut(ResourceAnswer(scope, record, None), done.changed, result.replayed)
        return ResourceWasPut(await self._answers.answer(scope, target, record, full=True), done.changed)

    async def delete(self, principal: Principal, deletion: ResourceDeletion) -> None:
        """Delete a resource, also one that no flow declares any more."""
        check_name("name", deletion.resource.name)
        await self._settled(principal, deletion.resource, lambda: self._delete(principal, deletion))

    async def _delete(self, principal: Principal, deletion: ResourceDeletion) -> None:
        ref = deletion.resource
        target = await self._targets.resolve(principal, ref.scope, "scope")
        request = await request_of(self._store, principal, deletion.request_id, target.scope, "scope")
        found = await self._targets.owner(target)
        if found.exists:
            rules = None if target.declared(ref.name) is None else self._targets.rules(target, ref.name)
            write = await self._writing.deletion(
                found.owner,
                ref.name,
                rules,
                WriteTerms(deletion.precondition, request=request),
                allow_missing=deletion.allow_missing or deletion.precondition is None,
            )
            guards: list[Write] = [] if request is None else [RequireRun(request, None)]
            result = await self._store.commit((*guards, write))
            if result.results[-1].changed:
                return
        if not deletion.allow_missing:
            raise target.missing(ref.name)

    def _position(self, bound: Json, token: str) -> str:
        position = self._tokens.read(bound, token)
        if not isinstance(position, str):
            raise PageTokenInvalidError
        return position

    async def _settled(
        self, principal: Principal, ref: ResourceRef, attempt: Callable[[], Awaitable[T]]
    ) -> T:
        session = SessionKey(principal.tenant, ref.scope.id)
        return await settled(attempt, lambda: self._bindings.forget(session))


def _written(result: CommitResult) -> ResourceRecord | None:
    """The resource as the last write of a batch has left it, ``None`` if that was a repeat."""
    document = result.results[-1].document
    return None if document is None else resource_in(document)


def _is_full(principal: Principal, shown: Shown) -> bool:
    """Whether everything is to be seen.

    Raises:
        AccessDeniedError: the caller's plane does not see that.
    """
    if principal.plane is Plane.TRUSTED:
        return shown is not Shown.CLIENT
    if shown is Shown.FULL:
        raise AccessDeniedError("the FULL view needs the trusted plane")
    return False


def _shown_beginnings(target: ResourceTarget, prefix: str) -> Sequence[str]:
    """What the names begin with that clients may see, in order; none begins with another."""
    beginnings: list[str] = []
    shown = {
        fixed_beginning(one.name)
        for flow in target.flows
        for one in flow.described.resources
        if one.scope is target.scope.kind and one.shown is not None
    }
    for begins in sorted(
        {max(one, prefix, key=len) for one in shown if one.startswith(prefix) or prefix.startswith(one)}
    ):
        if not any(begins.startswith(other) for other in beginnings):
            beginnings.append(begins)
    return beginnings
