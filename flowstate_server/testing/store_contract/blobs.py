"""Blobs: uploads that go on anywhere, reads of one version, sweeps that leave nothing and take nothing too much."""

from __future__ import annotations

import asyncio
import hashlib

from flowstate_server.errors import StoreUnavailableError, ValidationFailedError
from flowstate_server.model.blobs import HEADS, BlobKey, BlobStatus
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import STORE_OWNER, DocumentRange
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.stores.blobs import Blobs, BlobTimes
from flowstate_server.stores.contract.blob_writes import BlobUnavailable, DoomBlob, ReleaseBlob, RequireBlob
from flowstate_server.stores.contract.blobs import PIECE_BYTES, PieceKey
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.blob_heads import found, notes, reference
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness
from flowstate_server.testing.store_contract.pieces import pieces_of

AT_ONCE = BlobTimes(upload=Micros(0), doomed=Micros(0))
CONTENT = bytes(range(256)) * 5000
"""Over a piece, and no whole number of them."""


async def check_content_is_read_as_it_was_sent(harness: StoreHarness) -> None:
    """Content sent in parts of any size is read as a whole and in part, to the byte, in pieces of bounded size."""
    store = await harness.open()
    blobs = blobs_of(store)
    for part in (70_000, PIECE_BYTES, len(CONTENT)):
        key = await upload(store, blobs, part=part)
        whole = [piece async for piece in blobs.read(await blobs.open(key))]
        assert b"".join(whole) == CONTENT
        assert max(map(len, whole)) <= PIECE_BYTES
        for start, stop in ((0, 1), (69_999, 70_001), (PIECE_BYTES - 1, PIECE_BYTES + 1), (5, len(CONTENT))):
            assert await content(blobs, key, start, stop) == CONTENT[start:stop]
        assert await content(blobs, key, len(CONTENT)) == b""


async def check_empty_content_is_content(harness: StoreHarness) -> None:
    """A blob without a byte is complete like any other, and read as such."""
    store = await harness.open()
    blobs = blobs_of(store)
    key = await upload(store, blobs, b"")
    assert (await blobs.open(key)).size == 0
    assert await content(blobs, key) == b""


async def check_content_at_a_wrong_position_is_not_kept(harness: StoreHarness) -> None:
    """Content that does not begin where the received ends is answered with what was received; so is a repeat."""
    blobs = blobs_of(await harness.open())
    key = await blobs.begin(Tenant("tenant"))
    assert await blobs.received(key) == 0
    assert await blobs.append(key, 5, b"beyond") == 0
    assert await blobs.append(key, 0, b"hello") == 5
    for position, data in ((0, b"hello"), (0, b"other content"), (3, b"lo, and more"), (6, b"gap")):
        assert await blobs.append(key, position, data) == 5
    assert await blobs.append(key, 5, b" world") == 11
    digest = hashlib.sha256(b"hello world").hexdigest()
    assert (await blobs.verify(key, size=11, sha256=digest)).sha256 == digest


async def check_content_with_a_gap_is_given_up(harness: StoreHarness) -> None:
    """An upload whose pieces do not follow one another never becomes complete, whatever size it is said to have."""
    store = await harness.open()
    blobs = blobs_of(store)
    gap, overlap = {0: b"hello", 7: b"world"}, {0: b"hello", 3: b"lo"}
    for size, pieces in ((12, gap), (5, gap), (5, overlap), (7, overlap)):
        key = await blobs.begin(Tenant("tenant"))
        for number, piece in pieces.items():
            await pieces_of(store).put(PieceKey(key.id, number), piece)
        with refused(ValidationFailedError):
            await blobs.verify(key, size=size)
        with refused(BlobUnavailable, key=key):
            await blobs.verify(key, size=size)


async def check_content_that_does_not_fit_is_given_up(harness: StoreHarness) -> None:
    """An upload whose size or checksum is another than told is refused and gone."""
    blobs = blobs_of(await harness.open())
    for size, sha256 in ((6, ""), (4, ""), (5, "0" * 64)):
        key = await blobs.begin(Tenant("tenant"))
        await blobs.append(key, 0, b"hello")
        with refused(ValidationFailedError):
            await blobs.verify(key, size=size, sha256=sha256)
        with refused(BlobUnavailable, key=key):
            await blobs.append(key, 5, b"more")
        with refused(BlobUnavailable, key=key):
            await blobs.verify(key, size=5)


async def check_a_finished_upload_may_be_finished_again(harness: StoreHarness) -> None:
    """A repeat of the last calls of an upload is answered like the first, and changes nothing."""
    store = await harness.open()
    blobs = blobs_of(store)
    key = await upload(store, blobs, b"hello")
    assert await blobs.append(key, 0, b"hello") == 5
    again = await store.commit((await blobs.verify(key, size=5), RequireBlob(key)))
    assert not any(result.changed for result in again.results)
    with refused(ValidationFailedError):
        await blobs.verify(key, size=6)
    assert await content(blobs, key) == b"hello"


async def check_an_upload_goes_on_after_reopening(harness: StoreHarness) -> None:
    """An upload goes on where it was when the data is opened again."""
    store = await harness.open()
    pieces_of(store)
    key = await blobs_of(store).begin(Tenant("tenant"))
    received = 0
    while received < len(CONTENT):
        part = CONTENT[received : received + 500_000]
        assert await blobs_of(store).append(key, received, part) == received + len(part)
        store = await harness.reopen(store)
        received = await blobs_of(store).received(key)
    await finish(store, blobs_of(store), key, CONTENT)
    store = await harness.reopen(store)
    assert await content(blobs_of(store), key) == CONTENT


async def check_an_upload_goes_on_at_another_handle(harness: StoreHarness) -> None:
    """Each call of an upload may come to another handle, also one that was made elsewhere and repeated at once."""
    stores = [await harness.open() for _ in range(2)]
    one, other = map(blobs_of, stores)
    key = await one.begin(Tenant("tenant"))
    for start in range(0, len(CONTENT), 400_000):
        part = CONTENT[start : start + 400_000]
        await asyncio.gather(one.append(key, start, part), other.append(key, start, part))
        one, other = other, one
    writes = await asyncio.gather(*(blobs.verify(key, size=len(CONTENT)) for blobs in (one, other)))
    for store, write in zip(stores, writes, strict=True):
        await store.commit((write, RequireBlob(key)))
    for blobs in (one, other):
        assert await content(blobs, key) == CONTENT


async def check_sweeps_take_uploads_that_nobody_finished(harness: StoreHarness) -> None:
    """An upload over its time is doomed by one sweep and gone, with all its pieces, after the next."""
    store = await harness.open()
    blobs = blobs_of(store, AT_ONCE)
    unfinished, complete = await blobs.begin(Tenant("tenant")), await blobs.begin(NO_TENANT)
    for key in (unfinished, complete):
        await blobs.append(key, 0, CONTENT)
    await store.commit((await blobs.verify(complete, size=len(CONTENT)),))
    assert await blobs.sweep(limit=10) == 2
    for key in (unfinished, complete):
        assert (await found(store, key)).status is BlobStatus.DOOMED
        with refused(BlobUnavailable, key=key):
            await blobs.append(key, len(CONTENT), b"late")
    assert await blobs.sweep(limit=10) == 2
    assert await blobs.sweep(limit=10) == 0
    await assert_nothing_left(store)


async def check_sweeps_spare_what_is_not_due(harness: StoreHarness) -> None:
    """Sweeps touch neither what something refers to, nor an upload, nor what was released within its grace."""
    store = await harness.open()
    blobs = blobs_of(store)
    kept = await upload(store, blobs_of(store, AT_ONCE), b"kept")
    released = await upload(store, blobs, b"released")
    await store.commit((ReleaseBlob(released),))
    under_way = await blobs.begin(Tenant("tenant"))
    await blobs.append(under_way, 0, b"under way")
    assert await blobs.sweep(limit=10) == 1, "the note that the first upload was due"
    assert await blobs.sweep(limit=10) == 0
    assert await store.sweep_documents(limit=100) == 0
    assert await content(blobs, kept) == b"kept"
    assert await content(blobs, released) == b"released"
    assert await blobs.received(under_way) == 9


async def check_doomed_pieces_stay_for_their_grace(harness: StoreHarness) -> None:
    """Pieces of a doomed blob stay for an hour, though a note of an earlier time is still there."""
    store = await harness.open()
    key = await upload(store, blobs_of(store, AT_ONCE))
    before = await blobs_of(store).open(key)
    await store.commit((DoomBlob(key),))
    await _sweep_all(store)
    assert b"".join([piece async for piece in blobs_of(store).read(before)]) == CONTENT
    assert (await found(store, key)).status is BlobStatus.DOOMED
    assert len(await notes(store)) == 1


async def check_a_reader_ends_what_it_reads(harness: StoreHarness) -> None:
    """Who began to read before a blob was released and doomed reads on to its end; who comes later is refused."""
    store = await harness.open()
    blobs = blobs_of(store, AT_ONCE)
    key = await upload(store, blobs)
    before = await blobs.open(key)
    reader = blobs.read(before)
    first = await anext(reader)
    await store.commit((ReleaseBlob(key, grace=Micros(0)),))
    assert await content(blobs, key) == CONTENT
    await blobs.sweep(limit=10)
    with refused(BlobUnavailable, key=key):
        await blobs.open(key)
    assert first + b"".join([piece async for piece in reader]) == CONTENT
    await _sweep_all(store)
    with refused(BlobUnavailable, key=key):
        await anext(blobs.read(before))


async def check_sweeps_of_blobs_are_bounded(harness: StoreHarness) -> None:
    """A sweep takes as many blobs as asked for, the longest due first, and goes on where it stopped."""
    store = await harness.open()
    blobs = blobs_of(store, AT_ONCE)
    keys = [await blobs.begin(Tenant("tenant")) for _ in range(5)]
    assert await blobs.sweep(limit=2) == 2
    doomed = [(await found(store, key)).status is BlobStatus.DOOMED for key in keys]
    assert doomed == [True, True, False, False, False]
    swept = [await blobs.sweep(limit=3) for _ in range(4)]
    assert swept == [3, 3, 2, 0]
    await assert_nothing_left(store)


async def check_sweeps_at_once_do_no_harm(harness: StoreHarness) -> None:
    """Sweeps of several handles at once end what is due once, and no more than that."""
    stores = [await harness.open() for _ in range(2)]
    kept = await upload(stores[0], blobs_of(stores[0], AT_ONCE), b"kept")
    for _ in range(5):
        key = await blobs_of(stores[0], AT_ONCE).begin(Tenant("tenant"))
        await blobs_of(stores[1]).append(key, 0, b"content")
    for _ in range(3):
        await asyncio.gather(*(blobs_of(store, AT_ONCE).sweep(limit=10) for store in stores))
    assert await notes(stores[0]) == []
    assert await content(blobs_of(stores[1]), kept) == b"kept"
    await _release(stores[1], kept)
    await _sweep_all(stores[0])
    await assert_nothing_left(stores[1])


async def check_dying_at_any_statement_of_a_blobs_life_leaves_it_to_the_sweep(harness: StoreHarness) -> None:
    """A process that dies anywhere in a blob's life leaves it whole and kept, or to be ended by a sweep."""
    store = await harness.open()
    pieces_of(store)
    for statements in range(400):
        harness.crash_after(store, statements)
        milestones: list[str] = []
        key = BlobKey(Tenant("tenant"), f"blob_{statements}")
        [answer] = await settled(_live(store, key, milestones))
        store = await harness.reopen(store)
        await _sweep_all(store)
        kept = reference(key) in await store.load_documents((reference(key),))
        if kept:
            blob = BlobKey(Tenant("tenant"), await _referred(store, key))
            assert await content(blobs_of(store), blob) == CONTENT
            assert (await found(store, blob)).due_time == 0
            await _release(store, blob, key)
            await _sweep_all(store)
        assert kept or milestones != ["referred"], "what was acknowledged is there"
        await assert_nothing_left(store)
        if not isinstance(answer, Exception):
            assert milestones == ["referred", "released", "swept"]
            return
        assert isinstance(answer, StoreUnavailableError), answer
    raise AssertionError("the blob never came to its end")


async def _live(store: Store, name: BlobKey, milestones: list[str]) -> None:
    """A blob from its beginning to its end. ``name`` is that of what refers to it."""
    blobs = blobs_of(store, AT_ONCE)
    key = await blobs.begin(name.tenant)
    for start in range(0, len(CONTENT), PIECE_BYTES):
        await blobs.append(key, start, CONTENT[start : start + PIECE_BYTES])
    complete = await blobs.verify(key, size=len(CONTENT))
    refer = PutDocument(reference(name), f'"{key.id}"'.encode())
    await store.commit((complete, RequireBlob(key), refer))
    milestones.append("referred")
    milestones.append("released")
    await _release(store, key, name)
    await _sweep_all(store)
    milestones.append("swept")


async def _referred(store: Store, name: BlobKey) -> str:
    return (await store.load_documents((reference(name),)))[reference(name)].text.decode().strip('"')


async def _release(store: Store, key: BlobKey, name: BlobKey | None = None) -> None:
    await store.commit((DeleteDocument(reference(name or key)), ReleaseBlob(key, grace=Micros(0))))


async def _sweep_all(store: Store) -> None:
    while await blobs_of(store, AT_ONCE).sweep(limit=100):
        pass


def blobs_of(store: Store, times: BlobTimes | None = None) -> Blobs:
    """The service over the store's own slot."""
    return Blobs(store, pieces_of(store), times)


async def upload(store: Store, blobs: Blobs, data: bytes = CONTENT, *, part: int = PIECE_BYTES) -> BlobKey:
    """A blob that something refers to."""
    key = await blobs.begin(Tenant("tenant"))
    for start in range(0, len(data), part):
        received = await blobs.append(key, start, data[start : start + part])
        assert received == min(start + part, len(data))
    await finish(store, blobs, key, data)
    return key


async def finish(store: Store, blobs: Blobs, key: BlobKey, data: bytes) -> None:
    complete = await blobs.verify(key, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    await store.commit((complete, RequireBlob(key), PutDocument(reference(key), b"1")))


async def content(blobs: Blobs, key: BlobKey, start: int = 0, stop: int = 1 << 26) -> bytes:
    return b"".join([piece async for piece in blobs.read(await blobs.open(key), start=start, stop=stop)])


async def assert_nothing_left(store: Store) -> None:
    """No head, no note, no piece."""
    assert list(await store.read_documents(DocumentRange(STORE_OWNER, HEADS, limit=10))) == []
    assert await notes(store) == []
    assert list(await pieces_of(store).list(after=None, limit=10)) == []
