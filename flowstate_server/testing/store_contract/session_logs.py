"""Logs of sessions: every event of every request, and those outside them, in one order."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.records import SessionHead
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.tables import SESSION_HEADS
from flowstate_server.stores.contract.writes import AppendEvents
from flowstate_server.testing.store_contract.builders import (
    events_of,
    item_done,
    note,
    open_scene,
    take_over,
)
from flowstate_server.testing.store_contract.harness import StoreHarness


async def check_session_log_has_every_event_in_order(harness: StoreHarness) -> None:
    """A session's log has the events of its requests and those outside, by session sequence, whatever the pages."""
    store = await harness.open()
    scene = await open_scene(store)
    other = await open_scene(store, request_id="other")
    elsewhere = await open_scene(store, "session-2", "elsewhere")
    for number in range(5):
        await scene.append(note("x" * 50), item_done(f"item {number}", number))
        await store.commit((AppendEvents(scene.session, (note("outside", transient=True),)),))
        await other.append(note(str(number)))
        await elsewhere.append(note())
    whole = await events_of(store, scene.session)
    assert [event.session_sequence for event in whole] == list(range(1, 21))
    assert {event.request_id for event in whole} == {"", "request-1", "other"}
    assert [event for event in whole if event.request_id == "other"] == await events_of(store, other.request)
    assert sum(event.event.item is not None for event in whole) == 5
    for limit, max_bytes in ((1, 1 << 20), (3, 1 << 20), (100, 1), (100, 300)):
        assert await events_of(store, scene.session, limit=limit, max_bytes=max_bytes) == whole
    assert await events_of(store, scene.session, after=17) == whole[17:]


async def check_session_log_has_a_head(harness: StoreHarness) -> None:
    """A page of a session's log tells where the log stands; of an unknown session there is none."""
    store = await harness.open()
    scene = await open_scene(store)
    page = await store.read_events(scene.session, after=0, limit=10, max_bytes=1000)
    assert page is not None
    assert (page.events, page.end) == ((), 0)
    assert (page.head.log_id, page.head.sequence, page.head.ended) == ("log-session-1", 0, False)
    await scene.append(note(), note())
    await scene.finish()
    page = await store.read_events(scene.session, after=1, limit=1, max_bytes=1000)
    assert page is not None
    assert ([event.session_sequence for event in page.events], page.end) == ([2], 2)
    assert (page.head.sequence, page.head.ended, page.head.floor) == (3, False, 0)
    for unknown in (SessionKey(NO_TENANT, "unknown"), SessionKey(Tenant("tenant"), "session-1")):
        assert await store.read_events(unknown, after=0, limit=10, max_bytes=1000) is None


async def check_page_of_a_session_log_has_the_floor(harness: StoreHarness) -> None:
    """A page of a session's log tells up to where durable events are gone, as the session's head does."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.append(note(), note(), note())
    head = SessionHead(scene.session, "log-session-1", sequence=3, turns=0, activity_time=Micros(1), floor=2)
    await take_over(store, SESSION_HEADS, (head,))
    page = await store.read_events(scene.session, after=2, limit=10, max_bytes=1 << 20)
    assert page is not None
    assert (page.head.sequence, page.head.floor) == (3, 2)
    await scene.append(note())
    page = await store.read_events(scene.session, after=0, limit=1, max_bytes=1 << 20)
    assert page is not None
    assert (page.head.sequence, page.head.floor) == (4, 2)


async def check_sweeps_leave_gaps_in_session_logs(harness: StoreHarness) -> None:
    """Swept transient events are missing in the session's log as in the request's, and the page still is complete."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.append(note("1"), note("2", transient=True), note("3"))
    await store.commit((AppendEvents(scene.session, (note("4", transient=True),)),))
    await scene.finish()
    while await store.sweep_transient_events(retention=Micros(0), limit=10):
        pass
    page = await store.read_events(scene.session, after=0, limit=10, max_bytes=1 << 20)
    assert page is not None
    assert [event.session_sequence for event in page.events] == [1, 3, 5]
    assert (page.end, page.head.sequence) == (5, 5)


async def check_session_log_under_concurrency(harness: StoreHarness) -> None:
    """Two handles append to the logs of one session's requests; the session's log has each event once, in order."""
    one, other = await harness.open(), await harness.open()
    scenes = [await open_scene(one, request_id=f"request-{number}") for number in range(3)]
    scenes += [replace(scene, store=other) for scene in scenes]
    await asyncio.gather(*(scene.append(note(str(n))) for n in range(10) for scene in scenes))
    for store in (one, other):
        events = await events_of(store, scenes[0].session, limit=7)
        assert [event.session_sequence for event in events] == list(range(1, 61))
