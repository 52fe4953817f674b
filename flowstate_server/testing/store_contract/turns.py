"""History: the items of the newest completed requests."""

from __future__ import annotations

import asyncio

from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import RequestStatus, TurnKey, TurnRecord
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.tables import TURNS
from flowstate_server.stores.contract.writes import AppendEvents
from flowstate_server.testing.store_contract.builders import (
    finish,
    item_done,
    new_request,
    note,
    open_scene,
    take_over,
)
from flowstate_server.testing.store_contract.harness import StoreHarness

LOG = "log-session-1"


async def check_window_of_turns(harness: StoreHarness) -> None:
    """The newest n completed requests give their items, in order; other requests give none."""
    store = await harness.open()
    for number in range(5):
        scene = await open_scene(store, request_id=f"request-{number}")
        await scene.append(item_done(f"{number}-a", 0), note(), item_done(f"{number}-b", 1))
        await scene.finish()
        failed = await open_scene(store, request_id=f"failed-{number}")
        await failed.append(item_done(f"{number}-failed"))
        await failed.finish(RequestStatus.FAILED)
    running = await open_scene(store, request_id="running")
    await running.append(item_done("running"))
    session = running.session
    for newest, first in ((1, 4), (2, 3), (5, 0), (50, 0)):
        items = await store.read_turns(session, LOG, newest=newest)
        wanted = [f"{number}-{part}" for number in range(first, 5) for part in "ab"]
        assert [record.item.item_id for record in items] == wanted
    record = (await store.read_turns(session, LOG, newest=1))[0]
    assert (record.session, record.session_log_id, record.request_id) == (session, LOG, "request-4")
    assert record.create_time > 0
    assert list(await store.read_turns(session, "another", newest=5)) == []
    assert list(await store.read_turns(SessionKey(Tenant("other"), "session-1"), LOG, newest=5)) == []


async def check_items_of_overlapping_requests_come_turn_by_turn(harness: StoreHarness) -> None:
    """Items of requests that ran at once come one turn after the other, by index within each."""
    store = await harness.open()
    one = await open_scene(store, request_id="one")
    other = await open_scene(store, request_id="other")
    await one.append(item_done("one 0"))
    await other.append(item_done("other 1", 1))
    await one.append(item_done("one 1", 1))
    await other.append(item_done("other 0"))
    await other.finish()
    await one.finish()
    items = await store.read_turns(one.session, LOG, newest=2)
    assert [record.item.item_id for record in items] == ["other 0", "other 1", "one 0", "one 1"]
    assert [record.turn for record in items] == [1, 1, 2, 2]
    assert [record.session_sequence for record in items] == [4, 2, 1, 3]


async def check_turns_of_one_group_count_in_the_order_of_their_ends(harness: StoreHarness) -> None:
    """Requests that end in one group are turns in the order of their ends."""
    store = await harness.open()
    first = await open_scene(store, request_id="first")
    await first.append(item_done("1"))
    create = new_request(first.session, "second")
    second = (
        create,
        AppendEvents(first.session, (item_done("2"),), create.key),
        finish(create.key),
    )
    await asyncio.gather(first.finish(), store.commit(second))
    for newest, wanted in ((1, ["2"]), (2, ["1", "2"])):
        items = await store.read_turns(first.session, LOG, newest=newest)
        assert [record.item.item_id for record in items] == wanted


async def check_turns_without_items_count(harness: StoreHarness) -> None:
    """A completed request without items is a turn like any other."""
    store = await harness.open()
    first = await open_scene(store, request_id="first")
    await first.append(item_done("1"))
    await first.finish()
    await (await open_scene(store, request_id="empty")).finish()
    assert list(await store.read_turns(first.session, LOG, newest=1)) == []
    assert len(await store.read_turns(first.session, LOG, newest=2)) == 1


async def check_turns_of_a_session_made_anew_begin_anew(harness: StoreHarness) -> None:
    """Turns are those of one incarnation: of a session that is not the one asked for there are none."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.append(item_done("1"))
    await scene.finish()
    assert list(await store.read_turns(scene.session, LOG, newest=0)) == []
    assert list(await store.read_turns(scene.session, "later", newest=5)) == []


async def check_turn_appended_from_outside_gives_its_items(harness: StoreHarness) -> None:
    """A turn without a request has the items of its place in the session's log, and of nothing beside it."""
    store = await harness.open()
    scene = await open_scene(store)
    await store.commit((AppendEvents(scene.session, (item_done("before"),)),))
    await store.commit((AppendEvents(scene.session, (item_done("a", 1), note(), item_done("b"))),))
    await store.commit((AppendEvents(scene.session, (item_done("after"),)),))
    key = TurnKey(scene.session, LOG, 1)
    await take_over(store, TURNS, (TurnRecord(key, "", first=2, last=4),))
    items = await store.read_turns(scene.session, LOG, newest=1)
    assert [(record.item.item_id, record.turn, record.request_id) for record in items] == [
        ("b", 1, ""),
        ("a", 1, ""),
    ]
