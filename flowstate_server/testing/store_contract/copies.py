"""Copies: what is taken over from another store is the same here, and goes on."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import (
    STORE_OWNER,
    Document,
    DocumentKey,
    DocumentRange,
    scope_owner,
)
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import (
    IdempotencyKey,
    StateRecord,
)
from flowstate_server.model.scopes import (
    user_scope,
)
from flowstate_server.stores.blobs import Blobs
from flowstate_server.stores.contract.tables import DOCUMENTS, SESSION_HEADS, STATES
from flowstate_server.stores.contract.writes import ImportInterrupted, ImportRecords, PutIdempotencyKey
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import CopyRefused, check_store, copy_store, differences
from flowstate_server.testing.store_contract.blobs import CONTENT, blobs_of, content, upload
from flowstate_server.testing.store_contract.builders import (
    increment,
    new_request,
    note,
    open_scene,
    state_of,
    take_over,
)
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import StoreHarness
from flowstate_server.testing.store_contract.population import GONE, NAMES, exports_of, populated


async def check_copy_into_a_fresh_store_exports_equal(harness: StoreHarness) -> None:
    """What is copied from this store into an empty one exports the same there, and back again."""
    store = await harness.open()
    exports_of(store)
    await populated(store)
    await _assert_copied(store, MemoryStore())


async def check_copy_from_another_store_exports_equal(harness: StoreHarness) -> None:
    """What is copied into this store from another one exports the same here."""
    store = await harness.open()
    exports_of(store)
    source = MemoryStore()
    await source.open()
    await populated(source)
    await _copy(source, store)
    await _assert_equal(source, store)
    await source.close()


async def check_copied_store_goes_on(harness: StoreHarness) -> None:
    """A store that was copied into serves on: logs, versions, turns and keys continue where they were."""
    store = await harness.open()
    exports_of(store)
    source = MemoryStore()
    await source.open()
    running, ended = (await populated(source))[:2]
    await _copy(source, store)
    await source.close()
    scene = replace(running, store=store)
    before = await store.get_request(running.request)
    assert before is not None
    appended = await scene.append(note("after"))
    head = appended.results[1].head
    assert head is not None
    assert head.sequence == before.head.sequence + 1
    await scene.finish()
    turns = await store.read_turns(running.session, f"log-{running.session.session_id}", newest=2)
    assert [record.request_id for record in turns] == [ended.request.request_id, running.request.request_id]
    assert (await store.commit((increment(GONE),))).results[0].version == 3
    again = await store.commit((new_request(ended.session, ended.request.request_id),))
    assert again.attached is not None
    name = running.session.session_id
    key = IdempotencyKey(running.session.tenant, name, "method", name)
    repeat = PutIdempotencyKey(key, "print", Micros(60 * SECOND))
    assert (await store.commit((increment(user_scope(name)), repeat))).replayed
    assert [problem async for problem in check_store(store)] == []
    swept = 0
    while gone := await store.sweep_transient_events(retention=Micros(0), limit=1000):
        swept += gone
    assert swept == len(NAMES) + 1


async def check_copy_carries_blobs_between_slots(harness: StoreHarness) -> None:
    """A copy carries blobs from the slot that they are in, and is refused if it is not told of that."""
    source, target, elsewhere = await harness.open(), MemoryStore(), MemoryStore()
    exports_of(source)
    for store in (target, elsewhere):
        await store.open()
    slot = elsewhere.pieces
    assert slot is not None
    blobs = Blobs(source, slot)
    key = await upload(source, blobs)
    await blobs.append(await blobs.begin(Tenant("tenant")), 0, b"under way")
    with refused(CopyRefused):
        await copy_store(source, target, name="source")
    await copy_store(source, target, name="source", source_blobs=slot)
    assert await content(blobs_of(target), key) == CONTENT
    assert [line async for line in differences(source, target, one_blobs=slot)] == []
    assert [line async for line in check_store(target)] == []
    await slot.delete(key.id, limit=1)
    found = [line async for line in differences(source, target, one_blobs=slot)]
    assert found == [f"piece 0 of blob {key.id} is missing in the first"]
    for store in (target, elsewhere):
        await store.close()


async def check_import_goes_on_where_it_was_or_not_at_all(harness: StoreHarness) -> None:
    """An import names how far the copy has come; another place refuses it, and nothing of it is written."""
    store = await harness.open()
    states = tuple(
        StateRecord(
            key=user_scope(name),
            version=7,
            incarnation="i",
            exists=True,
            text=b'{"a":1}',
            create_time=Micros(1),
            update_time=Micros(2),
        )
        for name in NAMES
    )
    first = ImportRecords(_place(b"1"), None, STATES, states[:4])
    second = ImportRecords(_place(b"2"), b"1", STATES, states[4:])
    for wrong in (second, replace(first, expected=b"0")):
        with refused(ImportInterrupted):
            await store.commit((wrong,))
    assert not (await state_of(store, states[4].key)).exists
    await store.commit((first,))
    with refused(ImportInterrupted):
        await store.commit((first,))
    await store.commit((second,))
    assert dict(await store.load_states([one.key for one in states])) == {one.key: one for one in states}
    [place] = await store.read_documents(DocumentRange(STORE_OWNER, "copy_place", limit=10))
    assert place.text == b"2"


async def check_imported_record_takes_the_place_of_an_older_one(harness: StoreHarness) -> None:
    """A record that is imported again is there once, as it came last; its version goes on from there."""
    store = await harness.open()
    exports = exports_of(store)
    for version in (3, 5):
        state = StateRecord(
            key=user_scope("ada"),
            version=version,
            incarnation="i",
            exists=True,
            text=b'{"n":%d}' % version,
            create_time=Micros(1),
            update_time=Micros(2),
        )
        await take_over(store, STATES, (state,))
        assert list(await exports.export(STATES, after=None, limit=10, max_bytes=1000)) == [state]
    assert (await store.commit((increment(user_scope("ada")),))).results[0].version == 6


async def check_what_later_versions_write_is_taken_over(harness: StoreHarness) -> None:
    """Fields that nothing writes yet, and documents of unknown kinds, are kept as they are."""
    store = await harness.open()
    scene = await open_scene(store)
    exports = exports_of(store)
    [head] = await exports.export(SESSION_HEADS, after=None, limit=10, max_bytes=1000)
    await take_over(store, SESSION_HEADS, (replace(head, floor=7, turns=9),))
    state = StateRecord(
        key=user_scope("ada"),
        version=3,
        incarnation="i",
        exists=True,
        text=b"{}",
        create_time=Micros(1),
        update_time=Micros(2),
        generations=(("a", 1), ("b", 2)),
        schema_hash="hash",
    )
    await take_over(store, STATES, (state,))
    unknown = Document(
        key=DocumentKey(scope_owner(state.key, "i"), "of later", ("a", "")),
        version=4,
        incarnation="i",
        text=b"[1]",
        create_time=Micros(1),
        update_time=Micros(2),
    )
    await take_over(store, DOCUMENTS, (unknown,))
    projection = await store.read_projection(scene.session, (state.key,), (unknown.key,))
    assert projection is not None
    assert (projection.head.floor, projection.head.turns) == (7, 9)
    assert projection.states[state.key] == state
    assert dict(projection.documents) == {unknown.key: unknown}


def _place(text: bytes) -> Document:
    return Document(
        key=DocumentKey(STORE_OWNER, "copy_place", ("c",)),
        version=1,
        incarnation="copy",
        text=text,
        create_time=Micros(0),
        update_time=Micros(0),
    )


async def _copy(source: Store, target: Store) -> None:
    copied = await copy_store(source, target, name="source")
    assert copied.done


async def _assert_copied(source: Store, target: Store) -> None:
    await target.open()
    await _copy(source, target)
    await _assert_equal(source, target)
    await target.close()


async def _assert_equal(one: Store, other: Store) -> None:
    assert [line async for line in differences(one, other)] == []
    assert [problem async for problem in check_store(other)] == []
