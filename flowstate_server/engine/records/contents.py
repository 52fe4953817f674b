"""Content of resources on its way into the store, and out of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import cast

from flowstate_server.errors import ResourceNotFoundError, StoreUnavailableError
from flowstate_server.model.blobs import BlobKey
from flowstate_server.model.identity import Tenant
from flowstate_server.model.resources import ContentRecord, ResourceRecord
from flowstate_server.stores.blobs import Blobs
from flowstate_server.stores.contract.blob_writes import BlobUnavailable
from flowstate_server.stores.contract.blobs import PIECE_BYTES
from flowstate_server.stores.contract.writes import Write
from flowstate_server.stores.store import Store


@dataclass(slots=True)
class Brought:
    """Content that was uploaded for one write: what the write is to refer to, and what has to be committed ahead of it.

    Whoever commits says whether the resource has ``taken`` it.
    """

    content: ContentRecord | None = None
    writes: tuple[Write, ...] = ()
    taken: bool = False


class Contents:
    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs

    @asynccontextmanager
    async def brought(self, tenant: Tenant, content: bytes | BlobKey | None) -> AsyncIterator[Brought]:
        """Content for a write that is committed within: bytes, or an upload that was finished. What is not taken is
        given up, unless it is unknown whether it was.

        Raises:
            BlobUnavailable: the upload was swept, or is not finished.
        """
        if content is None:
            yield Brought()
            return
        brought = await self._brought(tenant, content)
        unknown = False
        try:
            yield brought
        except (StoreUnavailableError, asyncio.CancelledError):
            unknown = True
            raise
        finally:
            if brought.content is not None and not brought.taken and not unknown:
                await self._blobs.give_up(brought.content.blob)

    async def _brought(self, tenant: Tenant, content: bytes | BlobKey) -> Brought:
        if isinstance(content, bytes):
            complete = await self._blobs.whole(tenant, content)
            return Brought(ContentRecord(complete.key, complete.size, complete.sha256), (complete,))
        head = await self._blobs.open(content)
        return Brought(ContentRecord(content, head.size, head.sha256))

    async def read(self, record: ResourceRecord, start: int = 0) -> AsyncGenerator[bytes, None]:
        """The content of that version, in pieces.

        Raises:
            ResourceNotFoundError: it has none, or was replaced so long ago that its content is gone.
        """
        gone = ResourceNotFoundError(record.key.scope.kind.value, record.key.name)
        if record.content is None:
            raise gone
        try:
            head = await self._blobs.open(record.content.blob)
            stored = cast(AsyncGenerator[bytes, None], self._blobs.read(head, start=start))
            async with aclosing(stored) as pieces:
                async for piece in pieces:
                    yield piece
        except BlobUnavailable:
            raise gone from None

    async def upload(self, tenant: Tenant) -> ContentUpload:
        return ContentUpload(self._store, self._blobs, await self._blobs.begin(tenant))


class ContentUpload:
    """Implements ``programs.resources.Upload``: pieces from one process, one after the other."""

    def __init__(self, store: Store, blobs: Blobs, key: BlobKey) -> None:
        self._store = store
        self._blobs = blobs
        self._key = key
        self._stored = 0
        self._pending = bytearray()

    @property
    def size(self) -> int:
        return self._stored + len(self._pending)

    async def append(self, data: bytes, /) -> None:
        view = memoryview(data)
        while view:
            part = view[: PIECE_BYTES - len(self._pending)]
            self._pending += part
            view = view[len(part) :]
            if len(self._pending) == PIECE_BYTES:
                await self._store_pending()

    async def finish(self) -> BlobKey:
        if self._pending:
            await self._store_pending()
        await self._store.commit((await self._blobs.verify(self._key, size=self._stored),))
        return self._key

    async def _store_pending(self) -> None:
        piece = bytes(self._pending)
        self._stored = await self._blobs.append(self._key, self._stored, piece)
        self._pending.clear()
