"""A kind of document that exists in this file alone, made by the recipe in ``CONTRIBUTING.md``: it needs no adapter.

Souvenirs of a user: the newest few, each with a picture and for a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from flowstate_server.errors import FlowStateError, ScopeUnavailableError
from flowstate_server.model.blobs import BlobKey, blob_key
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange, Owner, ordered, scope_owner
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.blobs import Blobs, BlobTimes
from flowstate_server.stores.commit.document_writes import need_owner, put, require_owner
from flowstate_server.stores.commit.meanings import MEANINGS, Meaning
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.blob_writes import BlobUnavailable, ReleaseBlob, RequireBlob
from flowstate_server.stores.contract.tables import DOCUMENTS, Needs
from flowstate_server.stores.contract.writes import (
    DeleteState,
    Write,
    WriteResult,
)
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import check_store, copy_store, differences
from flowstate_server.testing.store_contract import StoreHarness
from flowstate_server.testing.store_contract.builders import increment, state_of
from tests.stores.adapters import ADAPTERS

SOUVENIR, COUNTER = "souvenir", "souvenirs"
MOST = 5
LONG: Micros = Micros(3600 * SECOND)
USER = user_scope("ada")


@frozen
class Souvenir:
    """The value: its number, what is written on it, and its picture."""

    number: int
    caption: str
    picture: BlobKey


def all_of(owner: Owner) -> DocumentRange:
    """One more than there may be, so that what is beyond the limit would show."""
    return DocumentRange(owner, SOUVENIR, limit=MOST + 1)


def souvenir_of(document: Document) -> Souvenir:
    caption, *picture = cast("list[str]", decode_json(document.text))
    return Souvenir(int(document.key.name[0], 16), caption, blob_key(picture))


@frozen
class KeepSouvenir(Write):
    """Keep one more for ``lifetime``; of more than ``MOST`` the oldest goes. Its picture has to be complete."""

    owner: Owner
    caption: str
    picture: BlobKey
    lifetime: Micros = LONG


@frozen
class DropSouvenirs(Write):
    """Remove what an owner that is gone has left."""

    owner: Owner


def need_keep(write: KeepSouvenir, needs: Needs) -> None:
    needs.add(DOCUMENTS, counter_of(write.owner))
    needs.ranges.add(all_of(write.owner))
    need_owner(write.owner, needs)


def keep(work: WorkingSet, write: KeepSouvenir) -> WriteResult:
    require_owner(work, write.owner)
    kept = work.documents.range(all_of(write.owner))
    if len(kept) == MOST:
        work.documents.remove(kept[0].key)
    counter = work.documents.find(counter_of(write.owner))
    number = 1 if counter is None else cast(int, decode_json(counter.text)) + 1
    put(work, counter_of(write.owner), encode_json(number))
    key = DocumentKey(write.owner, SOUVENIR, (ordered(number),))
    text = encode_json([write.caption, *write.picture])
    return WriteResult(document=put(work, key, text, lifetime=write.lifetime))


def need_drop(write: DropSouvenirs, needs: Needs) -> None:
    needs.add(DOCUMENTS, counter_of(write.owner))
    needs.ranges.add(all_of(write.owner))
    need_owner(write.owner, needs)


def drop(work: WorkingSet, write: DropSouvenirs) -> WriteResult:
    with suppress(ScopeUnavailableError):
        require_owner(work, write.owner)
        return WriteResult(changed=False)
    for document in work.documents.range(all_of(write.owner)):
        work.documents.remove(document.key)
    if work.documents.find(counter_of(write.owner)) is not None:
        work.documents.remove(counter_of(write.owner))
    return WriteResult()


def counter_of(owner: Owner) -> DocumentKey:
    return DocumentKey(owner, COUNTER, ())


@pytest.fixture(autouse=True)
def _meanings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEANINGS, KeepSouvenir, Meaning(need_keep, keep))
    monkeypatch.setitem(MEANINGS, DropSouvenirs, Meaning(need_drop, drop))


@pytest.fixture(params=ADAPTERS)
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreHarness]:
    async with ADAPTERS[request.param](tmp_path) as opened:
        yield opened


class Album:
    """The souvenirs of Ada, as one server keeps them."""

    def __init__(self, store: Store, owner: Owner) -> None:
        assert store.pieces is not None
        self.store = store
        self.owner = owner
        self.blobs = Blobs(store, store.pieces, BlobTimes(upload=Micros(0), doomed=Micros(0)))

    @classmethod
    async def begin(cls, store: Store) -> Album:
        """For a new incarnation of Ada's record."""
        await store.commit((increment(USER),))
        return cls(store, scope_owner(USER, (await state_of(store, USER)).incarnation))

    async def upload(self, caption: str) -> Sequence[Write]:
        picture = await self.blobs.begin(NO_TENANT)
        size = await self.blobs.append(picture, 0, content(caption))
        return (await self.blobs.verify(picture, size=size), RequireBlob(picture))

    async def keep(self, caption: str, *, lifetime: Micros = LONG) -> Souvenir:
        """The picture is due when the souvenir is, so nobody has to remember it for one that went before its time."""
        complete, require = await self.upload(caption)
        picture = cast(RequireBlob, require).key
        kept = KeepSouvenir(self.owner, caption, picture, lifetime)
        done = await self.store.commit((complete, require, kept, ReleaseBlob(picture, lifetime)))
        document = done.results[2].document
        assert document is not None
        return souvenir_of(document)

    async def kept(self) -> list[Souvenir]:
        return [souvenir_of(document) for document in await self.store.read_documents(all_of(self.owner))]

    async def look_at(self, souvenir: Souvenir) -> bytes:
        head = await self.blobs.open(souvenir.picture)
        return b"".join([piece async for piece in self.blobs.read(head)])

    async def sweep(self) -> None:
        while await self.store.sweep_documents(limit=100) or await self.blobs.sweep(limit=100):
            pass


def content(caption: str) -> bytes:
    return caption.encode() * 100


async def handles(harness: StoreHarness) -> list[Store]:
    """Two, of stores that several processes may open."""
    return [await harness.open() for _ in range(2 if harness.shared else 1)]


async def test_the_newest_are_kept_with_their_pictures(harness: StoreHarness) -> None:
    stores = await handles(harness)
    album = await Album.begin(stores[0])
    albums = [Album(store, album.owner) for store in stores]
    made = await asyncio.gather(*(albums[n % len(albums)].keep(f"souvenir {n}") for n in range(20)))
    in_order = sorted(made, key=lambda souvenir: souvenir.number)
    assert [souvenir.number for souvenir in in_order] == list(range(1, 21))
    for one in albums:
        assert await one.kept() == in_order[-MOST:]
        for souvenir in in_order[-MOST:]:
            assert await one.look_at(souvenir) == content(souvenir.caption)


async def test_there_are_never_too_many(harness: StoreHarness) -> None:
    stores = await handles(harness)
    album = await Album.begin(stores[0])
    counts: list[int] = []
    for number in range(MOST + 2):
        await Album(stores[number % len(stores)], album.owner).keep(str(number))
        counts.append(len(await album.kept()))
    assert counts == [1, 2, 3, 4, 5, 5, 5]


async def test_what_has_expired_goes_with_its_picture_and_makes_room(harness: StoreHarness) -> None:
    store = await harness.open()
    album = await Album.begin(store)
    expired = [await album.keep(f"soon {number}", lifetime=Micros(1)) for number in range(3)]
    lasting = [await album.keep(f"long {number}") for number in range(MOST)]
    assert await album.kept() == lasting
    await album.sweep()
    assert await album.kept() == lasting
    for souvenir in expired:
        with pytest.raises(BlobUnavailable):
            await album.look_at(souvenir)
    assert [await album.look_at(souvenir) for souvenir in lasting] == [
        content(souvenir.caption) for souvenir in lasting
    ]
    assert store.pieces is not None
    pieces = await store.pieces.list(after=None, limit=100)
    assert {piece.blob for piece in pieces} == {souvenir.picture.id for souvenir in lasting}


async def test_a_picture_that_is_not_there_keeps_its_souvenir_out(harness: StoreHarness) -> None:
    store = await harness.open()
    album = await Album.begin(store)
    picture = await album.blobs.begin(NO_TENANT)
    for writes in ((RequireBlob(picture),), (RequireBlob(BlobKey(NO_TENANT, "blob_none")),)):
        with pytest.raises(BlobUnavailable):
            await store.commit((*writes, KeepSouvenir(album.owner, "a", picture)))
    assert await album.kept() == []


async def test_an_owner_that_is_deleted_under_load(harness: StoreHarness) -> None:
    """No souvenir comes after the deletion, and who is made anew has none of the old."""
    stores = await handles(harness)
    album = await Album.begin(stores[0])
    albums = [Album(store, album.owner) for store in stores]
    kept: list[Souvenir] = []
    enough = asyncio.Event()

    async def write(writer: int) -> FlowStateError:
        number = 0
        while True:
            try:
                kept.append(await albums[writer % len(albums)].keep(f"{writer}: {number}"))
            except ScopeUnavailableError as refusal:
                return refusal
            number += 1
            if len(kept) >= 2 * MOST:
                enough.set()

    writers = [asyncio.create_task(write(writer)) for writer in range(4)]
    await enough.wait()
    deletion = await stores[-1].commit((DeleteState(USER),))
    assert len(await asyncio.gather(*writers)) == 4

    left = await stores[0].read_documents(all_of(album.owner))
    assert max(document.create_time for document in left) <= deletion.time
    last = sorted(kept, key=lambda souvenir: souvenir.number)[-MOST:]
    assert [souvenir_of(document) for document in left] == last
    anew = await Album.begin(stores[0])
    assert anew.owner != album.owner
    assert await anew.kept() == []
    assert (await anew.keep("first")).number == 1

    await asyncio.gather(*(store.commit((DropSouvenirs(album.owner),)) for store in stores))
    await stores[0].commit((DropSouvenirs(anew.owner),))
    assert await album.kept() == []
    assert [souvenir.caption for souvenir in await anew.kept()] == ["first"]


async def test_copies_and_checks_take_it_along(harness: StoreHarness) -> None:
    store, target = await harness.open(), MemoryStore()
    album = await Album.begin(store)
    made = [await album.keep(f"souvenir {number}") for number in range(MOST + 1)]
    await target.open()
    try:
        await copy_store(store, target, name="source")
        assert [line async for line in check_store(target)] == []
        assert [line async for line in differences(store, target)] == []
        copied = Album(target, album.owner)
        assert await copied.kept() == made[1:]
        assert await copied.look_at(made[-1]) == content(made[-1].caption)
    finally:
        await target.close()
