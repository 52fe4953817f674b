"""Copying all that one store keeps into another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, NamedTuple, cast

from flowstate_server.errors import StoreOpenError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import STORE_OWNER, Document, DocumentKey, DocumentRange
from flowstate_server.model.json_values import Json, decode_json, encode_json
from flowstate_server.model.records import RequestRecord, RequestStatus
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.blobs import BlobPieces, PieceKey
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.contract.tables import Table
from flowstate_server.stores.contract.writes import ImportInterrupted, ImportRecords
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer.blobs import ELSEWHERE, copy_pieces, kept_elsewhere, piece_pages
from flowstate_server.stores.transfer.naming import named
from flowstate_server.stores.transfer.pages import COPY_PLACE, pages
from flowstate_server.stores.transfer.places import decode_place, encode_place

REMEMBERED = 30 * 24 * 3600 * SECOND
"""How long an unfinished copy can be gone on with."""
UNFINISHED = (
    "it holds an unfinished copy; finish it with 'flowstate store copy FROM TO', or begin with an empty store"
)


class CopyRefused(Exception):
    """The store can't be copied, or not into that one; the text says why."""


@dataclass(slots=True)
class Copied:
    """How much has been copied so far, by table: ``sessions``, ``requests``, ``events``, ``states``, and so on."""

    counts: dict[str, int] = field(default_factory=dict)
    done: bool = False

    def add(self, name: str, count: int) -> None:
        if count:
            self.counts[name] = self.counts.get(name, 0) + count


def silently(copied: Copied) -> None:
    """Report nothing."""


async def copy_store(
    source: Store,
    target: Store,
    *,
    name: str,
    report: Callable[[Copied], None] = silently,
    source_blobs: BlobPieces | None = None,
    target_blobs: BlobPieces | None = None,
) -> Copied:
    """Copy everything of ``source`` into ``target``; both are open, and nobody serves either.

    A copy that was interrupted goes on where it was when it is called again with the same ``name``, which stands for
    the source. ``report`` is called after each batch. ``source_blobs`` and ``target_blobs`` are the slots for blobs of
    the two profiles, where they have one; else blobs are in the stores themselves.

    Raises:
        CopyRefused: the target has something else in it or a server uses it, one has begun to use the source, another
            copy runs, the source is itself half a copy, a record of it can't be understood, a blob of it is in a slot
            that is not given, or the stores can't do it.
    """
    copy = _Copy(source, target, name, report)
    copy.source_blobs = source_blobs or source.pieces
    copy.target_blobs = target_blobs or target.pieces
    await copy.begin()
    await copy.run()
    return copy.copied


async def serving(store: Store) -> list[tuple[str, int]]:
    """The server processes with a lease, and the seconds until it ends; one that was killed may be there until then."""
    now = await store.time()
    return [(one.process, ceil((one.expire_time - now) / SECOND)) for one in await store.leased()]


async def refuse_unfinished_copy(store: Store) -> None:
    """For whoever is about to serve the store: its sweeper would end requests that are imported in part.

    Raises:
        StoreOpenError: a copy into the store was begun and not finished.
    """
    if await _unfinished(store):
        raise StoreOpenError(problem=UNFINISHED)


class _Stage(NamedTuple):
    """A table that is copied. Only a ``counted`` one is told: requests are copied twice."""

    table: Table[Any, Any]
    record_of: Callable[[Any], Any] = lambda record: record
    counted: bool = True


class _Copy:
    """Stage after stage, page after page; each page is committed together with the place behind it."""

    def __init__(self, source: Store, target: Store, name: str, report: Callable[[Copied], None]) -> None:
        self._source = source
        self._target = target
        self._exports = _exports_of(source, "the source does not export what it keeps")
        self._kept = _exports_of(target, "the target can't tell whether it is empty: it does not export")
        self._key = DocumentKey(STORE_OWNER, COPY_PLACE, (hashlib.sha256(name.encode()).hexdigest(),))
        self._report = report
        self._known: bytes | None = None
        self._stage = 0
        self._after: Json = None
        self._expire_time: Micros = Micros(0)
        self._there: set[str] | None = None
        self.copied = Copied()
        self.source_blobs = source.pieces
        self.target_blobs = target.pieces

    async def begin(self) -> None:
        """Find how far an earlier copy has come, else make sure that the target is empty."""
        if await _unfinished(self._source):
            raise CopyRefused("the source holds an unfinished copy")
        await self._refuse_served()
        self._expire_time = Micros(await self._target.time() + REMEMBERED)
        for known in await _places(self._target):
            if known.key == self._key:
                self._resume(known)
                return
        looked_at: tuple[Table[Any, Any], ...] = (tables.SESSIONS, tables.STATES, tables.DOCUMENTS)
        for table in looked_at:
            async for _ in pages(self._kept, table):
                raise CopyRefused("the target is not empty, and no copy of this source was begun in it")
        await self._commit(None, ())

    async def _refuse_served(self) -> None:
        """A server looks for a copy after it has taken its lease, and a copy for leases after it has left its place:
        of two that begin at once, one sees the other."""
        imported = {record.process for record in await self._source.read_processes()}
        for process, _ in await serving(self._target):
            if process not in imported:
                raise CopyRefused(f"the server {process} uses the target, stop it")
        there = {process for process, _ in await serving(self._source)}
        new = there - (there if self._there is None else self._there)
        if new:
            raise CopyRefused(f"the server {min(new)} has begun to use the source, stop it and copy again")
        self._there = there

    async def run(self) -> None:
        while self._stage < len(STAGES):
            await self._refuse_served()
            stage = STAGES[self._stage]
            try:
                await (self._copy_pieces() if stage is None else self._copy_table(stage))
            except DamagedRecord as damage:
                raise CopyRefused(f"{named(damage.key)} in the source can't be understood") from damage
            self._stage += 1
            self._after = None
        await self._refuse_served()
        self.copied.done = True
        await self._commit(None, ())
        self._report(self.copied)

    async def _copy_table(self, stage: _Stage) -> None:
        after = None if self._after is None else decode_place(stage.table.key, self._after)
        async for page in pages(self._exports, stage.table, after):
            if stage.table is tables.DOCUMENTS:
                await self._refuse_blobs_elsewhere(page)
            if stage.counted:
                self.copied.add(stage.table.name, len(page))
            await self._done(stage.table.key_of(page[-1]), stage.table, map(stage.record_of, page))

    async def _refuse_blobs_elsewhere(self, documents: Sequence[Document]) -> None:
        head = await kept_elsewhere(self.source_blobs, documents)
        if head is not None:
            raise CopyRefused(f"the content of blob {head.key.id} in the source {ELSEWHERE}")

    async def _copy_pieces(self) -> None:
        ours, theirs = self.source_blobs, self.target_blobs
        after = None if self._after is None else decode_place(PieceKey, self._after)
        async for page in piece_pages(ours, after):
            if ours is None or theirs is None:
                raise CopyRefused("the source keeps blobs, and the target has no place for them")
            await copy_pieces(ours, theirs, page)
            self.copied.add("blob_pieces", len(page))
            await self._done(page[-1])

    async def _done(
        self, place: Any, table: Table[Any, Any] | None = None, records: Iterable[Any] = ()
    ) -> None:
        """Commit the records of a page that ends at ``place``, and that they are done."""
        self._after = encode_place(place)
        await self._commit(table, [*records])
        self._report(self.copied)

    def _resume(self, known: Document) -> None:
        self._known = known.text
        place = _decode(known)
        self._stage, self._after = place["stage"], place["after"]
        self.copied.counts = place["counts"]

    async def _commit(self, table: Table[Any, Any] | None, records: Sequence[Any]) -> None:
        counts = cast(Json, self.copied.counts)
        text = encode_json({"stage": self._stage, "after": self._after, "counts": counts})
        place = Document(self._key, 1, "copy", text, Micros(0), Micros(0), self._expire_time)
        try:
            await self._target.commit((ImportRecords(place, self._known, table, records),))
        except ImportInterrupted:
            raise CopyRefused("another copy is writing to the same target") from None
        self._known = text


def _begun(request: RequestRecord) -> RequestRecord:
    """The request before its end: an ended one's events could not be appended."""
    if request.head.status.open:
        return request
    head = replace(request.head, status=RequestStatus.IN_PROGRESS, end_time=Micros(0))
    return replace(request, head=head, output=None, failure=None, reason="")


STAGES: tuple[_Stage | None, ...] = (
    _Stage(tables.PROCESSES),
    _Stage(tables.SESSIONS),
    _Stage(tables.SESSION_HEADS, counted=False),
    _Stage(tables.REQUESTS, _begun, counted=False),
    _Stage(tables.EVENTS),
    _Stage(tables.TURNS),
    _Stage(tables.REQUESTS),
    _Stage(tables.STATES),
    _Stage(tables.DOCUMENTS),
    None,
)
"""``None`` stands for the pieces of blobs, which take no part in commits."""


def _exports_of(store: Store, without: str) -> Exports:
    if store.exports is None:
        raise CopyRefused(without)
    return store.exports


async def _places(store: Store) -> Sequence[Document]:
    """How far copies into the store have come."""
    return await store.read_documents(DocumentRange(STORE_OWNER, COPY_PLACE, limit=10))


async def _unfinished(store: Store) -> bool:
    return any(_decode(known)["stage"] < len(STAGES) for known in await _places(store))


def _decode(place: Document) -> dict[str, Any]:
    return cast("dict[str, Any]", decode_json(place.text))
