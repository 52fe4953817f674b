"""Resources: how many there may be, and contents that go when nothing refers to them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flowstate_server.errors import TooManyResourcesError
from flowstate_server.model.resources import counts_in, counts_key, oldest_places, placed
from flowstate_server.stores.contract.blob_writes import BlobUnavailable
from flowstate_server.stores.contract.resource_writes import Collected, ResourceMoved
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.blobs import AT_ONCE, assert_nothing_left, blobs_of, content
from flowstate_server.testing.store_contract.builders import new_session
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness
from flowstate_server.testing.store_contract.resources import (
    OWNER,
    deletion,
    names_of,
    putting,
    resource_of,
    upload,
)


async def check_content_needs_a_complete_blob(harness: StoreHarness) -> None:
    """A resource refers to no blob that is not there, and to none but the one that was named."""
    store = await harness.open()
    await store.commit((new_session(),))
    complete, brought = await upload(store, b"content")
    _, other = await upload(store, b"other")
    with refused(BlobUnavailable):
        await store.commit((putting("a", {}, brought),))  # not complete yet
    with refused(BlobUnavailable):
        await store.commit((complete, replace(putting("a", {}, other), blob=brought.blob)))
    await sweep(store)
    with refused(BlobUnavailable):
        await store.commit((complete, putting("a", {}, brought)))
    assert await names_of(store) == []
    await assert_nothing_left(store)


async def check_content_goes_when_nothing_refers_to_it(harness: StoreHarness) -> None:
    """Content that was replaced, or whose resource was deleted, is swept; what is referred to never is."""
    store = await harness.open()
    await store.commit((new_session(),))
    kept = [await upload(store, data) for data in (b"first", b"second", b"third")]
    await store.commit((kept[0][0], putting("a", {}, kept[0][1])))
    await store.commit((kept[1][0], putting("a", {}, kept[1][1])))
    await store.commit((kept[2][0], putting("b", {}, kept[2][1])))
    await sweep(store)
    with refused(BlobUnavailable):
        await content(blobs_of(store), kept[0][1].blob)
    assert await content(blobs_of(store), kept[1][1].blob) == b"second"
    for name in ("a", "b"):
        record = await resource_of(store, name)
        assert record is not None
        await store.commit((deletion(record),))
    await sweep(store)
    await assert_nothing_left(store)


async def check_collections_evict_their_oldest(harness: StoreHarness) -> None:
    """One more in a full collection takes the place of the oldest, in the same commit, however many come at once."""
    stores = [await harness.open(), await harness.open()]
    await stores[0].commit((new_session(),))

    async def make(number: int) -> None:
        store = stores[number % 2]
        complete, brought = await upload(store, b"%d" % number)
        while True:
            places = await store.read_documents(oldest_places(OWNER, "files/*", 1))
            counts = (await store.load_documents((counts_key(OWNER),))).get(counts_key(OWNER))
            full = counts_in(counts).of("files/*") >= 3
            oldest = placed(places[0]) if full and places else None
            write = putting(
                f"files/{number:02}", {}, brought, collected=Collected("files/*", 3, True, oldest)
            )
            try:
                await store.commit((complete, write))
                return
            except ResourceMoved:
                continue

    await asyncio.gather(*map(make, range(12)))
    names = await names_of(stores[0])
    assert len(names) == 3
    by_age = [
        placed(place).name for place in await stores[1].read_documents(oldest_places(OWNER, "files/*", 9))
    ]
    assert sorted(by_age) == names
    counts = counts_in((await stores[0].load_documents((counts_key(OWNER),)))[counts_key(OWNER)])
    assert (counts.made, counts.total, counts.of("files/*")) == (12, 3, 3)
    oldest = await resource_of(stores[0], by_age[0])
    assert oldest is not None
    await stores[0].commit((deletion(oldest),))
    assert [
        placed(place).name for place in await stores[0].read_documents(oldest_places(OWNER, "files/*", 9))
    ] == by_age[1:]
    await sweep(stores[0])
    pieces = stores[0].pieces
    assert pieces is not None
    assert len(await pieces.list(after=None, limit=100)) == 2


async def check_full_collections_refuse_more(harness: StoreHarness) -> None:
    """Where nothing is evicted one more is refused, by each of many who come at once but as many as fit."""
    one, other = await harness.open(), await harness.open()
    await one.commit((new_session(),))
    full = Collected("files/*", 3)
    done = await settled(
        *((one, other)[n % 2].commit((putting(f"files/{n}", {}, collected=full),)) for n in range(10))
    )
    assert [type(result) for result in done].count(TooManyResourcesError) == 7
    names = await names_of(one)
    assert len(names) == 3
    await one.commit((putting(names[0], {"n": 1}, collected=full), putting("single", {})))
    record = await resource_of(one, names[0])
    assert record is not None
    await one.commit((deletion(record), putting("files/x", {}, collected=full)))
    with refused(TooManyResourcesError, limit=3):
        await one.commit((putting("files/y", {}, collected=full),))


async def sweep(store: Store) -> None:
    while await blobs_of(store, AT_ONCE).sweep(limit=100):
        pass
