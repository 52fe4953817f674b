"""Heads of blobs: a sweep and a commit that refers to a blob never miss each other."""

from __future__ import annotations

import asyncio

from flowstate_server.model.blobs import (
    BlobDue,
    BlobHead,
    BlobKey,
    BlobStatus,
    due_of,
    first_due,
    head_key,
    head_of,
)
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import STORE_OWNER, DocumentKey
from flowstate_server.model.identity import Tenant
from flowstate_server.model.ids import new_id
from flowstate_server.stores.contract.blob_writes import (
    HOUR,
    BeginBlob,
    BlobUnavailable,
    CompleteBlob,
    DoomBlob,
    ForgetBlob,
    ReleaseBlob,
    RequireBlob,
)
from flowstate_server.stores.contract.document_writes import PutDocument
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness

SHA256 = "5" * 64


async def check_a_blob_is_due_until_something_refers_to_it(harness: StoreHarness) -> None:
    """An upload is due after its lifetime, complete or not; once something refers to it, it is kept."""
    store = await harness.open()
    key = new_blob()
    begun = await store.commit((BeginBlob(key),))
    uploading = await head(store, key)
    assert uploading == BlobHead(key, BlobStatus.UPLOADING, Micros(begun.time + 24 * HOUR))
    assert await notes(store) == [(uploading.due_time, key)]
    await store.commit((CompleteBlob(key, 7, SHA256),))
    assert await head(store, key) == BlobHead(key, BlobStatus.COMPLETE, uploading.due_time, 7, SHA256)
    await store.commit((RequireBlob(key), PutDocument(reference(key), b"1")))
    assert await head(store, key) == BlobHead(key, BlobStatus.COMPLETE, Micros(0), 7, SHA256)


async def check_a_released_blob_is_due_after_its_grace(harness: StoreHarness) -> None:
    """A blob that nothing refers to any more is due an hour later; released again it is not due any later."""
    store = await harness.open()
    key = await complete(store)
    await store.commit((RequireBlob(key),))
    released = await store.commit((ReleaseBlob(key),))
    due_time = released.time + HOUR
    assert await head(store, key) == BlobHead(key, BlobStatus.COMPLETE, Micros(due_time), 7, SHA256)
    assert (due_time, key) in await notes(store)
    assert not (await store.commit((ReleaseBlob(key),))).results[0].changed
    assert (await found(store, key)).due_time == due_time
    await store.commit((RequireBlob(key),))
    assert (await found(store, key)).due_time == 0


async def check_a_doomed_blob_is_forgotten_and_nothing_else(harness: StoreHarness) -> None:
    """A doomed blob is due an hour later and may then be forgotten; one that is not doomed can't be."""
    store = await harness.open()
    key = await complete(store)
    assert not (await store.commit((ForgetBlob(key),))).results[0].changed
    doomed = await store.commit((DoomBlob(key),))
    assert await head(store, key) == BlobHead(key, BlobStatus.DOOMED, Micros(doomed.time + HOUR), 7, SHA256)
    for no_change in (DoomBlob(key), ReleaseBlob(key)):
        assert not (await store.commit((no_change,))).results[0].changed
    await store.commit((ForgetBlob(key),))
    assert await head(store, key) is None
    for forgotten in (ForgetBlob(key), DoomBlob(key), ReleaseBlob(key)):
        assert not (await store.commit((forgotten,))).results[0].changed


async def check_a_commit_that_refers_to_no_usable_blob_is_refused(harness: StoreHarness) -> None:
    """A commit that refers to a blob that is absent, uploading, doomed or another tenant's is refused as a whole."""
    store = await harness.open()
    uploading, doomed = new_blob(), await complete(store)
    await store.commit((BeginBlob(uploading),))
    await store.commit((DoomBlob(doomed),))
    of_another = (await complete(store))._replace(tenant=Tenant("another"))
    for key in (new_blob(), uploading, doomed, of_another):
        with refused(BlobUnavailable, key=key):
            await store.commit((PutDocument(reference(key), b"1"), RequireBlob(key)))
        assert await store.load_documents((reference(key),)) == {}


async def check_writes_of_a_blob_may_be_repeated(harness: StoreHarness) -> None:
    """Beginning, ending and referring again are no change; ending as something else is refused."""
    store = await harness.open()
    key = new_blob()
    for changed in (True, False):
        assert (await store.commit((BeginBlob(key),))).results[0].changed == changed
    for changed in (True, False):
        assert (await store.commit((CompleteBlob(key, 7, SHA256),))).results[0].changed == changed
    for changed in (True, False):
        assert (await store.commit((RequireBlob(key),))).results[0].changed == changed
    for other in (CompleteBlob(key, 8, SHA256), CompleteBlob(key, 7, "6" * 64), BeginBlob(key)):
        with refused(BlobUnavailable, key=key):
            await store.commit((other,))
    assert await head(store, key) == BlobHead(key, BlobStatus.COMPLETE, Micros(0), 7, SHA256)


async def check_what_is_doomed_stays_doomed(harness: StoreHarness) -> None:
    """An upload that was doomed can't be begun again or ended."""
    store = await harness.open()
    key = new_blob()
    await store.commit((BeginBlob(key),))
    await store.commit((DoomBlob(key),))
    for late in (BeginBlob(key), CompleteBlob(key, 7, SHA256), RequireBlob(key)):
        with refused(BlobUnavailable, key=key):
            await store.commit((late,))
    assert (await found(store, key)).status is BlobStatus.DOOMED


async def check_a_sweep_that_saw_another_time_dooms_nothing(harness: StoreHarness) -> None:
    """A blob whose time has changed since the sweep read it is not doomed."""
    store = await harness.open()
    key = await complete(store)
    due = (await found(store, key)).due_time
    await store.commit((RequireBlob(key),))
    assert not (await store.commit((DoomBlob(key, due=due),))).results[0].changed
    await store.commit((ReleaseBlob(key),))
    assert not (await store.commit((DoomBlob(key, due=due),))).results[0].changed
    assert (await found(store, key)).status is BlobStatus.COMPLETE
    assert (await store.commit((DoomBlob(key, due=(await found(store, key)).due_time),))).results[0].changed


async def check_of_a_reference_and_a_sweep_one_wins(harness: StoreHarness) -> None:
    """Of a commit that refers to a blob and one that dooms it, made at once, the first wins and the other sees it."""
    store = await harness.open()
    await _race(store, store)


async def check_of_a_reference_and_a_sweep_of_two_handles_one_wins(harness: StoreHarness) -> None:
    """The same for two handles."""
    await _race(await harness.open(), await harness.open())


async def _race(one: Store, other: Store) -> None:
    for number in range(40):
        key = await complete(one)
        due = (await found(one, key)).due_time
        refer = one.commit((RequireBlob(key), PutDocument(reference(key), b"1")))
        doom = other.commit((DoomBlob(key, due=due),))
        if number % 2:
            answer, sweep = await settled(refer, doom)
        else:
            sweep, answer = await settled(doom, refer)
        assert not isinstance(sweep, BaseException), sweep
        for store in (one, other):
            after = await found(store, key)
            there = reference(key) in await store.load_documents((reference(key),))
            if sweep.results[0].changed:
                assert isinstance(answer, BlobUnavailable), answer
                assert (after.status, there) == (BlobStatus.DOOMED, False)
            else:
                assert not isinstance(answer, BaseException), answer
                assert (after.status, after.due_time, there) == (BlobStatus.COMPLETE, 0, True)


async def check_of_several_that_doom_a_blob_one_does(harness: StoreHarness) -> None:
    """Of several sweeps that doom a blob at once one does, and the others change nothing."""
    store = await harness.open()
    key = await complete(store)
    due = (await found(store, key)).due_time
    answers = await asyncio.gather(*(store.commit((DoomBlob(key, due=due),)) for _ in range(5)))
    assert sum(answer.results[0].changed for answer in answers) == 1


def new_blob() -> BlobKey:
    return BlobKey(Tenant("tenant"), new_id("blob_"))


async def complete(store: Store) -> BlobKey:
    """A complete blob that nothing refers to."""
    key = new_blob()
    await store.commit((BeginBlob(key), CompleteBlob(key, 7, SHA256)))
    return key


def reference(key: BlobKey) -> DocumentKey:
    """What stands for a record that refers to the blob."""
    return DocumentKey(STORE_OWNER, "reference", tuple(key))


async def head(store: Store, key: BlobKey) -> BlobHead | None:
    document = (await store.load_documents((head_key(key),))).get(head_key(key))
    return None if document is None else head_of(document)


async def found(store: Store, key: BlobKey) -> BlobHead:
    known = await head(store, key)
    assert known is not None, f"no head of {key}"
    return known


async def notes(store: Store) -> list[BlobDue]:
    """When the sweep is to look at which blob."""
    return [due_of(note.key) for note in await store.read_documents(first_due(1000))]
