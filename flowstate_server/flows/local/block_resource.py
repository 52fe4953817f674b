"""A resource of a run, as one block sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar
from weakref import ReferenceType, ref

from pydantic import BaseModel

from flowstate_server.errors import ResourceDeletedError, ValidationFailedError, Violation
from flowstate_server.flows.local.batches import OpenBatch
from flowstate_server.flows.local.begun_calls import Begun, TracksCalls, tracks_calls
from flowstate_server.flows.local.changed_fields import changed_by, require_function
from flowstate_server.flows.local.shown_state import ShownState
from flowstate_server.flows.resource_handles import (
    Content,
    ContentWriter,
    ResourceBatch,
    ResourceHandle,
    ResourceWriter,
    as_bytes,
)
from flowstate_server.flows.resources import DeclaredResource
from flowstate_server.model.blobs import BlobKey
from flowstate_server.model.frozen import frozen
from flowstate_server.model.resources import ResourceRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.resources import ResourceAccess, ResourceWrite, Upload
from flowstate_server.state.operations import Operation
from flowstate_server.state.write import StateWrite

StateT = TypeVar("StateT", bound=BaseModel)


class Seen:
    """The newest record of a resource that the blocks of a run have seen; all that look at it share this."""

    __slots__ = ("__weakref__", "record")

    def __init__(self, record: ResourceRecord) -> None:
        self.record = record

    def take(self, record: ResourceRecord) -> None:
        if record.version >= self.record.version:
            self.record = record

    def take_deleted(self, before: ResourceRecord, newest: ResourceRecord) -> None:
        """What is there after the run itself has deleted it, while it saw ``before``. Where nothing is, that has no
        version to be compared by."""
        if newest.exists:
            self.take(newest)
        elif self.record.incarnation == before.incarnation:
            self.record = newest


SeenResources = dict[tuple[ScopeKind, str], ReferenceType[Seen]]
"""For as long as somebody looks. Every run has one, and a WeakValueDictionary takes a hundred times as long to make."""


@frozen
class ResourcePlace:
    """What the handles of one declaration in one block have in common."""

    declared: DeclaredResource[Any]
    access: ResourceAccess
    seen: SeenResources
    path: tuple[str, ...]
    begun: Begun

    def look(self, name: str, record: ResourceRecord) -> Seen:
        """``record``, which was read just now, or what was seen after it."""
        seen = self.seen_of(name)
        if seen is None:
            seen = Seen(record)
            self.seen[self.declared.scope, name] = ref(seen)
        seen.take(record)
        return seen

    def seen_of(self, name: str) -> Seen | None:
        """What those who look at a resource share; ``None`` if nobody does."""
        found = self.seen.get((self.declared.scope, name))
        return None if found is None else found()


@tracks_calls
class _Writer(ResourceWriter[StateT], TracksCalls, Generic[StateT]):
    """``version`` is what the resource has to be at; without it a write is about the incarnation that was seen."""

    def __init__(
        self, place: ResourcePlace, name: str, seen: Seen, written: str, version: int | None = None
    ) -> None:
        self.begun = place.begun
        self.written = written
        self._schema = place.declared.schema
        self._place = place
        self._name = name
        self._seen = seen
        self._version = version

    async def write(self, content: Content, /, *, media_type: str | None = None) -> StateWrite:
        return await self._save((), as_bytes(content), media_type)

    async def delete(self) -> bool:
        access, before = self._place.access, self._seen.record
        deleted = await access.delete(
            self._name, self._place.path, at=self._version, incarnation=self._incarnation
        )
        self._seen.take_deleted(before, deleted.record)
        return deleted.changed

    def _commit(self, operations: Sequence[Operation], /) -> Awaitable[StateWrite]:
        return self._save(operations)

    async def _save(
        self,
        operations: Sequence[Operation],
        content: bytes | BlobKey | None = None,
        media_type: str | None = None,
    ) -> StateWrite:
        write = ResourceWrite(
            operations, content, media_type, at=self._version, incarnation=self._incarnation
        )
        written = await self._place.access.write(self._name, write, self._place.path)
        self._seen.take(written.record)
        return StateWrite(written.record.version, written.changed)

    @property
    def _incarnation(self) -> str:
        seen = self._seen.record
        return seen.incarnation if self._version is None and seen.exists else ""


@tracks_calls
class BlockResource(ShownState[StateT], _Writer[StateT], ResourceHandle[StateT], Generic[StateT]):
    def __init__(self, place: ResourcePlace, name: str, seen: Seen) -> None:
        super().__init__(place, name, seen, f"ctx.resource({name})")
        self._source = seen
        self._model = place.declared.state

    @property
    def name(self) -> str:
        return self._name

    @property
    def exists(self) -> bool:
        return self._seen.record.exists

    @property
    def size(self) -> int:
        content = self._seen.record.content
        return 0 if content is None else content.size

    @property
    def sha256(self) -> str:
        content = self._seen.record.content
        return "" if content is None else content.sha256

    @property
    def media_type(self) -> str:
        return self._seen.record.media_type

    async def refresh(self) -> None:
        self._seen.record = await self._place.access.load(self._name)

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.read_pieces()])

    async def read_text(self) -> str:
        return (await self.read()).decode()

    def read_pieces(self, *, start: int = 0) -> AsyncIterator[bytes]:
        return self._pieces(self._seen.record, start)

    async def _pieces(self, record: ResourceRecord, start: int) -> AsyncIterator[bytes]:
        if start < 0:
            raise ValidationFailedError((Violation("/start", "range", "must not be negative"),))
        if record.content is not None:
            async for piece in self._place.access.read(record, start=start):
                yield piece

    def open(self, *, media_type: str | None = None) -> AbstractAsyncContextManager[ContentWriter]:
        return self._open(media_type)

    @asynccontextmanager
    async def _open(self, media_type: str | None) -> AsyncIterator[ContentWriter]:
        upload = await self._place.access.upload()
        content = _BlockContent(upload, self.begun, f"{self.written}.open()")
        try:
            yield content
            await content.check()
        finally:
            content.closed = True
        content.result = await self._save((), await upload.finish(), media_type)

    def batch(self) -> AbstractAsyncContextManager[ResourceBatch[StateT]]:
        batch: ResourceBatch[StateT] = ResourceBatch(self._schema)
        return OpenBatch(batch, self._save_batch, f"{self.written}.batch()")

    async def _save_batch(self, batch: ResourceBatch[StateT]) -> StateWrite:
        if batch.operations or batch.content is not None:
            return await self._save(batch.operations, batch.content, batch.media_type)
        return StateWrite(self.version, changed=False)

    def at(self, version: int, /) -> ResourceWriter[StateT]:
        return _Writer(self._place, self._name, self._seen, f"{self.written}.at({version})", version)

    async def atomic_state(self, change: Callable[[StateT], BaseModel | Mapping[str, Any]], /) -> StateWrite:
        require_function(change)
        meant = self._incarnation

        def operations(record: ResourceRecord) -> Sequence[Operation]:
            if meant and (not record.exists or record.incarnation != meant):
                raise ResourceDeletedError(self._place.declared.scope, self._name)
            return changed_by(change, self._schema, self._model, record.state)

        written = await self._place.access.swap(self._name, operations, self._place.path)
        self._seen.take(written.record)
        return StateWrite(written.record.version, written.changed)


@tracks_calls
class _BlockContent(ContentWriter, TracksCalls):
    def __init__(self, upload: Upload, begun: Begun, written: str) -> None:
        self.begun = begun
        self.written = written
        self._upload = upload
        self._turn = asyncio.Lock()
        self._whole = True
        self.closed = False

    @property
    def size(self) -> int:
        return self._upload.size

    async def write(self, piece: Content, /) -> None:
        data = as_bytes(piece)
        async with self._turn:
            if self.closed:
                raise RuntimeError("the content is finished: what is to be in it belongs into the `with`")
            self._check_whole()
            self._whole = False
            await self._upload.append(data)
            self._whole = True

    async def check(self) -> None:
        """Wait for what is on its way.

        Raises:
            RuntimeError: a piece is not there whole.
        """
        async with self._turn:
            self._check_whole()

    def _check_whole(self) -> None:
        """Of a piece that was cancelled, or refused by the store, nobody knows how much is there."""
        if not self._whole:
            raise RuntimeError("a piece of the content was not written whole, so that none of it is kept")
