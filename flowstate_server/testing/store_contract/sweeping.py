"""Sweeps: bounded; of transient events, leaving gaps that pages explain, and of documents whose time is over."""

from __future__ import annotations

import asyncio

from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import STORE_OWNER, DocumentKey
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.contract.writes import AppendEvents
from flowstate_server.testing.store_contract.builders import (
    events_of,
    item_done,
    new_session,
    note,
    open_scene,
)
from flowstate_server.testing.store_contract.harness import StoreHarness

KEY = DocumentKey(STORE_OWNER, "kind", ("name",))
OTHER = DocumentKey(STORE_OWNER, "kind", ("other",))


async def check_transient_events_of_ended_requests_go(harness: StoreHarness) -> None:
    """A sweep deletes transient events of requests that ended long enough ago, and nothing else."""
    store = await harness.open()
    ended = await open_scene(store, request_id="ended")
    running = await open_scene(store, request_id="running")
    for scene in (ended, running):
        await scene.append(note("t", transient=True), item_done("i"), note("t", transient=True), note("kept"))
    await ended.finish()
    assert await store.sweep_transient_events(retention=Micros(60 * SECOND), limit=100) == 0
    assert await store.sweep_transient_events(retention=Micros(0), limit=100) == 2
    assert await store.sweep_transient_events(retention=Micros(0), limit=100) == 0
    assert [event.sequence for event in await events_of(store, ended.request)] == [2, 4, 5]
    assert [event.sequence for event in await events_of(store, running.request)] == [1, 2, 3, 4]
    assert len(await store.read_turns(ended.session, "log-session-1", newest=1)) == 1


async def check_sweep_of_transient_events_is_bounded(harness: StoreHarness) -> None:
    """A sweep of transient events deletes as many as asked for, and goes on where it stopped."""
    store = await harness.open()
    scenes = [await open_scene(store, request_id=f"request-{number}") for number in range(2)]
    for scene in scenes:
        await scene.append(*(note(transient=True) for _ in range(4)), note("kept"))
        await scene.finish()
    swept: list[int] = []
    while not swept or swept[-1]:
        swept.append(await store.sweep_transient_events(retention=Micros(0), limit=3))
        assert swept[-1] <= 3
    assert sum(swept) == 8
    for scene in scenes:
        assert [event.sequence for event in await events_of(store, scene.request)] == [5, 6]


async def check_pages_over_swept_events(harness: StoreHarness) -> None:
    """Pages pass over what was swept and still say how far they are complete."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.append(note("1"), note(transient=True), note(transient=True), note("4"), note(transient=True))
    await scene.finish()
    await store.sweep_transient_events(retention=Micros(0), limit=100)
    cut = await store.read_events(scene.request, after=0, limit=1, max_bytes=1 << 20)
    assert cut is not None
    assert ([event.sequence for event in cut.events], cut.end) == ([1], 1)
    whole = await store.read_events(scene.request, after=1, limit=10, max_bytes=1 << 20)
    assert whole is not None
    assert ([event.sequence for event in whole.events], whole.end) == ([4, 6], 6)
    within = await store.read_events(scene.request, after=2, limit=10, max_bytes=1 << 20)
    assert within is not None
    assert [event.sequence for event in within.events] == [4, 6]


async def check_log_goes_on_after_a_sweep(harness: StoreHarness) -> None:
    """Sequences go on after a sweep; none is used again."""
    store = await harness.open()
    first = await open_scene(store)
    await first.append(note(transient=True), note(transient=True))
    await first.finish()
    await store.sweep_transient_events(retention=Micros(0), limit=100)
    second = await open_scene(store, request_id="request-2")
    await second.append(note())
    [event] = await events_of(store, second.request)
    assert (event.sequence, event.session_sequence) == (1, 4)


async def check_transient_events_outside_a_request_go(harness: StoreHarness) -> None:
    """Transient events outside a request go by their own age."""
    store = await harness.open()
    create = new_session()
    events = (note(transient=True), note("kept"), note(transient=True))
    await store.commit((create, AppendEvents(create.key, events)))
    assert await store.sweep_transient_events(retention=Micros(60 * SECOND), limit=100) == 0
    assert await store.sweep_transient_events(retention=Micros(0), limit=1) == 1
    assert await store.sweep_transient_events(retention=Micros(0), limit=5) == 1
    assert await store.sweep_transient_events(retention=Micros(0), limit=5) == 0
    projection = await store.read_projection(create.key, ())
    assert projection is not None
    assert projection.head.sequence == 3


async def check_tombstones_are_swept_in_their_time(harness: StoreHarness) -> None:
    """A tombstone that is not remembered any more is swept like a document; one that is stays."""
    store = await harness.open()
    await store.commit((PutDocument(KEY, b"1"), PutDocument(KEY, b"2"), PutDocument(OTHER, b"1")))
    await store.commit(
        (DeleteDocument(KEY, remembered=Micros(1)), DeleteDocument(OTHER, remembered=Micros(60 * SECOND)))
    )
    assert await store.sweep_documents(limit=10) == 1
    assert await store.sweep_documents(limit=10) == 0
    made = await store.commit((PutDocument(KEY, b"3"), PutDocument(OTHER, b"3")))
    assert [result.version for result in made.results] == [1, 2]


async def check_sweep_finds_nothing_of_what_was_there_before(harness: StoreHarness) -> None:
    """A document that had a lifetime, and has none since, stays, whether it was removed meanwhile or put anew."""
    store = await harness.open()
    lifetime = Micros(SECOND // 10)
    await store.commit(
        (PutDocument(KEY, b"1", lifetime=lifetime), PutDocument(OTHER, b"1", lifetime=lifetime))
    )
    await store.commit((DeleteDocument(KEY),))
    await store.commit((PutDocument(KEY, b"2"), PutDocument(OTHER, b"2")))
    await asyncio.sleep(2 * lifetime / SECOND)
    assert await store.sweep_documents(limit=10) == 0
    found = await store.load_documents((KEY, OTHER))
    assert {key: document.text for key, document in found.items()} == {KEY: b"2", OTHER: b"2"}
