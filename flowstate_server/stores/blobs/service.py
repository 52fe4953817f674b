"""Uploads, reads and the sweep of blobs, on any server that shares the store and its slot for blobs."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from itertools import pairwise, takewhile, zip_longest

from flowstate_server.errors import (
    FeatureDisabledError,
    MessageTooLargeError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.model.blobs import MAX_BLOB_BYTES, BlobHead, BlobKey, BlobStatus, head_key, head_of
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Tenant
from flowstate_server.model.ids import new_id
from flowstate_server.stores.blobs.sweep import sweep
from flowstate_server.stores.contract.blob_writes import (
    HOUR,
    BeginBlob,
    BlobUnavailable,
    CompleteBlob,
    DoomBlob,
)
from flowstate_server.stores.contract.blobs import PIECE_BYTES, BlobPieces, PieceKey
from flowstate_server.stores.contract.pages import DamagedRecord, understood_one
from flowstate_server.stores.store import Store

REMEMBERED = 1_000
"""Uploads of which it is remembered how far they have come. Any other costs the read of a piece, and of all in the
end."""
LISTED = 80
"""Keys of a page: those of content in whole pieces, and no more of other blobs' than need be."""
MAX_PIECES = 1024
"""Pieces of a blob, so that its keys are one small read: at least 64 KiB each if it is as large as it may be."""


@frozen
class _Progress:
    """So many pieces follow one another up to ``size``. ``digest`` is that of what they hold, ``None`` unless all of
    them were put from here; it is never changed."""

    size: int
    pieces: int
    digest: hashlib._Hash | None


@frozen
class BlobTimes:
    """How long an upload may take, and how long doomed pieces stay for those who saw the blob before."""

    upload: Micros = Micros(24 * HOUR)
    doomed: Micros = HOUR


class Blobs:
    """Keeps nothing of its own between two calls but what it was made of, so any server may do the next step. How far
    uploads have come is remembered to be found faster: pieces that are there stay, so whoever is wrong does no harm.

    Neither do its calls hold more than two pieces of content each. ``StoreUnavailableError`` may come from all of them,
    and any may be repeated then. ``pieces`` is the profile's slot for blobs, ``None`` for that of the store itself;
    where that keeps none, ``FeatureDisabledError``.
    """

    def __init__(
        self, store: Store, pieces: BlobPieces | None = None, times: BlobTimes | None = None
    ) -> None:
        self._store = store
        self._slot = pieces
        self._times = times or BlobTimes()
        self._progress: OrderedDict[BlobKey, _Progress] = OrderedDict()

    @property
    def kept(self) -> bool:
        """Whether there is somewhere to keep content."""
        return (self._slot or self._store.pieces) is not None

    @property
    def _pieces(self) -> BlobPieces:
        pieces = self._slot or self._store.pieces
        if pieces is None:
            raise FeatureDisabledError("content on a store that keeps no blobs")
        return pieces

    async def begin(self, tenant: Tenant) -> BlobKey:
        """Begin an upload."""
        write = self.beginning(tenant)
        await self._store.commit((write,))
        return write.key

    def beginning(self, tenant: Tenant) -> BeginBlob:
        """The write that begins an upload, for whoever has more to commit with it."""
        return BeginBlob(BlobKey(tenant, new_id("blob_")), lifetime=self._times.upload)

    async def whole(self, tenant: Tenant, data: bytes) -> CompleteBlob:
        """Upload content that is at hand. What is given has to be committed as that of :meth:`verify`.

        Raises:
            MessageTooLargeError: as :meth:`append`.
        """
        _check_size(len(data))
        key = await self.begin(tenant)
        for start in range(0, len(data), PIECE_BYTES):
            await self._pieces.put(PieceKey(key.id, start), data[start : start + PIECE_BYTES])
        return CompleteBlob(key, len(data), hashlib.sha256(data).hexdigest())

    async def copy(self, key: BlobKey) -> CompleteBlob:
        """Upload once more what a complete blob holds, as :meth:`whole` does; raises as :meth:`open` and
        :meth:`read`."""
        head = await self.open(key)
        copy = await self.begin(key.tenant)
        position = 0
        async for piece in self.read(head):
            await self._pieces.put(PieceKey(copy.id, position), piece)
            position += len(piece)
        return CompleteBlob(copy, head.size, head.sha256)

    async def append(self, key: BlobKey, position: int, data: bytes, *, head: Document | None = None) -> int:
        """Add content that begins at byte ``position``, and answer how many bytes are received now.

        Content that begins elsewhere than where the received ends is not kept: the answer says where to go on, after a
        repeat as well. What is complete is received as a whole. ``head`` is for whoever has just read it.

        Raises:
            BlobUnavailable: the upload is unknown, given up or over its time.
            MessageTooLargeError: the content would have over :data:`MAX_BLOB_BYTES`.
            ValidationFailedError: it came in over :data:`MAX_PIECES` pieces.
        """
        found = await self._usable(key, head)
        if found.status is BlobStatus.COMPLETE:
            return found.size
        progress = self._progress.get(key)
        if progress is None or progress.size != position or not data:
            progress = await self._look(key)
        if progress.size != position or not data:
            return progress.size
        size = position + len(data)
        _check_size(size)
        starts = range(0, len(data), PIECE_BYTES)
        if progress.pieces + len(starts) > MAX_PIECES:
            problem = Violation("data", "too_many_pieces", f"the content comes in over {MAX_PIECES} pieces")
            raise ValidationFailedError((problem,))
        for start in starts:
            further = await self._put(key, progress, data[start : start + PIECE_BYTES])
            if further is None:
                return (await self._look(key)).size
            progress = self._remember(key, further)
        return size

    async def _put(self, key: BlobKey, progress: _Progress, piece: bytes) -> _Progress | None:
        """``None`` if another piece may be there: that stays."""
        put = self._pieces.put(PieceKey(key.id, progress.size), piece)
        digest = None if progress.digest is None else progress.digest.copy()
        if digest is None:
            kept = await put
        else:  # on a thread: it takes a millisecond in which the loop would stand still
            kept, _ = await asyncio.gather(put, asyncio.to_thread(digest.update, piece))
        return _Progress(progress.size + len(piece), progress.pieces + 1, digest) if kept else None

    async def _look(self, key: BlobKey) -> _Progress:
        """How far an upload has come. Only its pieces tell: a commit for each would cost as much as the piece, and
        could still not be the same as keeping it."""
        keys = await self._keys(key)
        size = 0 if not keys else keys[-1].number + len(await self._pieces.read(keys[-1]) or b"")
        known = self._progress.get(key)
        if known is not None and (known.size, known.pieces) == (size, len(keys)):
            return known
        return self._remember(key, _Progress(size, len(keys), None if keys else hashlib.sha256()))

    def _remember(self, key: BlobKey, progress: _Progress) -> _Progress:
        self._progress[key] = progress
        self._progress.move_to_end(key)
        if len(self._progress) > REMEMBERED:
            self._progress.popitem(last=False)
        return progress

    async def received(self, key: BlobKey) -> int:
        """Bytes received so far; raises ``BlobUnavailable`` as :meth:`append`."""
        return await self.append(key, 0, b"")

    async def verify(self, key: BlobKey, *, size: int, sha256: str = "") -> CompleteBlob:
        """The write that ends an upload, once all of its content was looked at. The checksum is looked at if given.

        Commit it together with ``RequireBlob`` and whatever refers to the blob: then that is visible at once. Content
        that does not fit is given up.

        Raises:
            BlobUnavailable: the upload is unknown, given up or over its time.
            ValidationFailedError: the content has another size or checksum.
        """
        head = await self._usable(key)
        under_way = head.status is BlobStatus.UPLOADING
        complete = await self._measured(key) if under_way else CompleteBlob(key, head.size, head.sha256)
        if complete is None or complete.size != size:
            problem = Violation("position", "size", "the content has another size")
        elif sha256 and complete.sha256 != sha256:
            problem = Violation("content_sha256", "checksum", "the content has another checksum")
        else:
            return complete
        if under_way:
            await self._usable(key)  # or it was swept while its pieces were looked at
            await self._store.commit((DoomBlob(key, due=head.due_time, grace=self._times.doomed),))
        raise ValidationFailedError((problem,))

    async def give_up(self, key: BlobKey) -> None:
        """Let the sweep delete what nothing refers to, ahead of its time; no change to what something refers to."""
        try:
            head = await self._usable(key)
        except BlobUnavailable:
            return
        if head.due_time:
            await self._store.commit((DoomBlob(key, due=head.due_time, grace=self._times.doomed),))

    async def open(self, key: BlobKey) -> BlobHead:
        """The head of a complete blob, for :meth:`read`; raises ``BlobUnavailable`` for any other."""
        head = await self._usable(key)
        if head.status is not BlobStatus.COMPLETE:
            raise BlobUnavailable(key)
        return head

    async def read(
        self, head: BlobHead, *, start: int = 0, stop: int = MAX_BLOB_BYTES
    ) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to ``stop`` or the end, piece by piece; while one is looked at the next is read.

        Raises:
            BlobUnavailable: it was doomed so long ago that its pieces are gone.
            DamagedRecord: it is complete, and content is missing.
        """
        keys = await self._keys(head.key)
        ends = [*(after.number for _, after in pairwise(keys)), head.size]
        wanted = [
            (key, end) for key, end in zip(keys, ends, strict=False) if key.number < stop and end > start
        ]
        position = start
        async with aclosing(self._ahead([key for key, _ in wanted])) as pieces:
            for key, end in wanted:
                piece = await anext(pieces)
                if key.number > position or piece is None or len(piece) != end - key.number:
                    break
                yield piece[position - key.number : stop - key.number]
                position = end
        if position < min(stop, head.size):
            await self.open(head.key)
            raise DamagedRecord(head_key(head.key), "content is missing")

    async def _ahead(self, keys: Sequence[PieceKey]) -> AsyncGenerator[bytes | None, None]:
        """The pieces, of which the next one is on its way when one is given."""
        reading: asyncio.Task[bytes | None] | None = None
        try:
            for key, following in zip_longest(keys, keys[1:]):
                piece = await (reading or self._pieces.read(key))
                reading = None if following is None else asyncio.create_task(self._piece(following))
                if reading is not None:
                    reading.add_done_callback(_heard)
                yield piece
        finally:
            if reading is not None:
                reading.cancel()

    async def _piece(self, key: PieceKey) -> bytes | None:
        return await self._pieces.read(key)

    async def sweep(self, *, limit: int) -> int:
        """Doom what is due, and delete what was doomed long enough ago: up to ``limit`` blobs, the longest due first.

        Returns how many it was done with; 0 when nothing is due. Several servers may sweep at once.
        """
        return await sweep(self._store, self._pieces, grace=self._times.doomed, limit=limit)

    async def _usable(self, key: BlobKey, document: Document | None = None) -> BlobHead:
        if document is None:
            document = (await self._store.load_documents((head_key(key),))).get(head_key(key))
        if document is None:
            raise BlobUnavailable(key)
        head = understood_one(document.key, document, head_of)
        if head.status is BlobStatus.DOOMED:
            raise BlobUnavailable(key)
        return head

    async def _keys(self, key: BlobKey) -> Sequence[PieceKey]:
        keys: list[PieceKey] = []
        while True:
            after = keys[-1] if keys else PieceKey(key.id, -1)
            page = await self._pieces.list(after=after, limit=LISTED)
            keys += takewhile(lambda piece: piece.blob == key.id, page)
            if len(page) < LISTED or page[-1].blob != key.id:
                return keys

    async def _measured(self, key: BlobKey) -> CompleteBlob | None:
        """What was received; ``None`` if its pieces do not follow one another, as those of uploads that were cut in
        several ways at once. It is read unless all of it came this way."""
        keys = await self._keys(key)
        known = self._progress.get(key)
        if known is not None and known.digest is not None and known.pieces == len(keys):
            return CompleteBlob(key, known.size, known.digest.hexdigest())
        size, digest = 0, hashlib.sha256()
        async with aclosing(self._ahead(keys)) as pieces:
            for piece_key in keys:
                piece = await anext(pieces)
                if piece is None or piece_key.number != size:
                    return None
                await asyncio.to_thread(digest.update, piece)
                size += len(piece)
        return CompleteBlob(key, size, digest.hexdigest())


def _check_size(size: int) -> None:
    if size > MAX_BLOB_BYTES:
        raise MessageTooLargeError(what="the content", size=size, limit=MAX_BLOB_BYTES)


def _heard(reading: asyncio.Task[bytes | None]) -> None:
    """Nobody waits for what was read ahead in vain."""
    if not reading.cancelled():
        reading.exception()
