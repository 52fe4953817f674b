"""Lists of items: of a session, a request and turns, from either end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event, EventRecord, EventType
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.records import RequestStatus, TurnKey, TurnRecord
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.lists import ItemPage, ItemRange
from flowstate_server.stores.contract.tables import EVENTS, SESSIONS, TURNS
from flowstate_server.stores.contract.writes import AppendEvents
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    Scene,
    item_done,
    new_session,
    note,
    open_scene,
    take_over,
)
from flowstate_server.testing.store_contract.harness import StoreHarness

LOG = "log-session-1"
BYTES = 1 << 20


async def page_of(
    store: Store, which: ItemRange, *, limit: int = 100, max_bytes: int = BYTES, page: ItemPage | None = None
) -> ItemPage:
    after = None if page is None else page.end
    found = await store.list_items(which, limit=limit, max_bytes=max_bytes, after=after)
    assert found is not None, f"{which.session} does not live"
    assert len(found.items) <= limit
    return found


async def names_of(store: Store, which: ItemRange, *, limit: int = 100, max_bytes: int = BYTES) -> list[str]:
    """The ids of all items, page by page."""
    page = await page_of(store, which, limit=limit, max_bytes=max_bytes)
    names = [record.item.item_id for record in page.items]
    while page.end is not None:
        page = await page_of(store, which, limit=limit, max_bytes=max_bytes, page=page)
        assert page.items, "no page of items is empty but the first"
        names += [record.item.item_id for record in page.items]
    return names


async def both_ways(store: Store, which: ItemRange, wanted: Sequence[str]) -> None:
    for limit in (1, 2, 3, 100):
        assert await names_of(store, which, limit=limit) == list(wanted), which
        down = replace(which, newest_first=True)
        assert await names_of(store, down, limit=limit) == list(reversed(wanted)), which


async def _overlapping(store: Store) -> tuple[Scene, Scene]:
    """Two requests whose items lie among one another; the second ends first. A third one fails, a fourth runs on."""
    one = await open_scene(store, request_id="one")
    other = await open_scene(store, request_id="other")
    await one.append(item_done("one 1", 1), note())
    await other.append(item_done("other 0"))
    await one.append(item_done("one 0", 0))
    await other.append(note(transient=True), item_done("other 1", 1))
    await other.finish()
    failed = await open_scene(store, request_id="failed")
    await failed.append(item_done("failed"))
    await failed.finish(RequestStatus.FAILED)
    await one.finish()
    running = await open_scene(store, request_id="running")
    await running.append(item_done("running"))
    return one, other


async def check_items_are_listed_in_the_order_of_their_completion(harness: StoreHarness) -> None:
    """All items of a session, of ended and open requests and of none, by ``session_sequence``, from either end."""
    store = await harness.open()
    one, _ = await _overlapping(store)
    await store.commit((AppendEvents(one.session, (item_done("outside"),)),))
    which = ItemRange(one.session, LOG)
    wanted = ["one 1", "other 0", "one 0", "other 1", "failed", "running", "outside"]
    await both_ways(store, which, wanted)
    records = (await page_of(store, which)).items
    assert [record.request_id for record in records[-2:]] == ["running", ""]
    places = [record.session_sequence for record in records]
    assert places == sorted(places)
    assert {(record.session, record.session_log_id, record.turn) for record in records} == {
        (one.session, LOG, 0)
    }
    assert all(record.create_time > 0 for record in records)


async def check_items_of_a_request_are_listed(harness: StoreHarness) -> None:
    """Those of one request, in the same order; of a request that there is not, or of another session, none."""
    store = await harness.open()
    one, _ = await _overlapping(store)
    which = ItemRange(one.session, LOG)
    await both_ways(store, replace(which, request_id="one"), ["one 1", "one 0"])
    await both_ways(store, replace(which, request_id="other"), ["other 0", "other 1"])
    await both_ways(store, replace(which, request_id="running"), ["running"])
    await both_ways(store, replace(which, request_id="never"), [])


async def check_items_of_turns_are_listed(harness: StoreHarness) -> None:
    """Those of some turns, by the end of their turns, then by index; requests that failed or run are none."""
    store = await harness.open()
    one, _ = await _overlapping(store)
    assert await store.newest_turns(one.session, LOG, newest=1) == (2, 2)
    assert await store.newest_turns(one.session, LOG, newest=9) == (1, 2)
    which = ItemRange(one.session, LOG, turns=(1, 2))
    await both_ways(store, which, ["other 0", "other 1", "one 0", "one 1"])
    await both_ways(store, replace(which, turns=(2, 2)), ["one 0", "one 1"])
    await both_ways(store, replace(which, turns=(1, 1)), ["other 0", "other 1"])
    await both_ways(store, replace(which, turns=(3, 9)), [])
    [record] = (await page_of(store, replace(which, newest_first=True), limit=1)).items
    assert (record.turn, record.item.index, record.request_id) == (2, 1, "one")


async def check_items_of_turns_from_outside_are_listed(harness: StoreHarness) -> None:
    """A turn without a request has the items of its place in the session's log, and turns may be missing."""
    store = await harness.open()
    scene = await open_scene(store)
    await store.commit((AppendEvents(scene.session, (item_done("before"),)),))
    await store.commit((AppendEvents(scene.session, (item_done("a", 1), note(), item_done("b"))),))
    await store.commit((AppendEvents(scene.session, (item_done("after"),)),))
    await scene.append(item_done("of the request"))
    await take_over(store, TURNS, (TurnRecord(TurnKey(scene.session, LOG, 3), "", first=2, last=4),))
    await take_over(store, TURNS, (TurnRecord(TurnKey(scene.session, LOG, 7), scene.request.request_id),))
    which = ItemRange(scene.session, LOG, turns=(1, 9))
    await both_ways(store, which, ["b", "a", "of the request"])
    assert await store.newest_turns(scene.session, LOG, newest=2) == (3, 7)


async def check_lists_of_items_by_audience(harness: StoreHarness) -> None:
    """Items are picked by whom they are for; ``INTERNAL`` picks those for nobody else."""
    store = await harness.open()
    scene = await open_scene(store)
    client, history = Audience.CLIENT, Audience.HISTORY
    for name, audiences in (
        ("both", {client, history}),
        ("client", {client}),
        ("history", {history}),
        ("internal", {Audience.INTERNAL}),
        ("none", set[Audience]()),
        ("client again", {client}),
    ):
        item = Item(name, ItemKind.CUSTOM, 0, b"{}", audiences=frozenset(audiences))
        await scene.append(Event(EventType.ITEM_DONE, b"{}", item.audiences, item=item))
    await scene.finish()
    for audience, wanted in (
        (None, ["both", "client", "history", "internal", "none", "client again"]),
        (client, ["both", "client", "client again"]),
        (history, ["both", "history"]),
        (Audience.INTERNAL, ["internal", "none"]),
    ):
        which = ItemRange(scene.session, LOG, audience=audience)
        await both_ways(store, which, wanted)
        await both_ways(store, replace(which, request_id=scene.request.request_id), wanted)
        await both_ways(store, replace(which, turns=(1, 1)), wanted)


async def check_removed_items_are_not_listed(harness: StoreHarness) -> None:
    """An item whose content was removed is in no list."""
    store = await harness.open()
    await store.commit((new_session(),))
    session = SessionKey(NO_TENANT, "session-1")
    events = [
        EventRecord(event, session, LOG, number, "", 0, Micros(1))
        for number, event in enumerate((item_done("kept"), _removed("gone"), item_done("kept too")), 1)
    ]
    await take_over(store, EVENTS, events)
    await take_over(store, TURNS, (TurnRecord(TurnKey(session, LOG, 1), "", first=1, last=3),))
    for turns in (None, (1, 1)):
        await both_ways(store, ItemRange(session, LOG, turns=turns), ["kept", "kept too"])


def _removed(item_id: str) -> Event:
    item = Item(item_id, ItemKind.MESSAGE, 0, b"", removed=True)
    return Event(EventType.ITEM_DONE, b"{}", item.audiences, item=item)


async def check_pages_of_items_stop_at_their_size(harness: StoreHarness) -> None:
    """A page ends before its contents exceed the limit, but has one item at least."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.append(*(item_done(f"{number}", number, b'"' + b"x" * 998 + b'"') for number in range(5)))
    await scene.finish()
    for which in (
        ItemRange(scene.session, LOG),
        ItemRange(scene.session, LOG, request_id=scene.request.request_id),
        ItemRange(scene.session, LOG, turns=(1, 1)),
    ):
        assert len((await page_of(store, which, max_bytes=2000)).items) == 2
        assert len((await page_of(store, which, max_bytes=1)).items) == 1
        assert len((await page_of(store, which, max_bytes=5000)).items) == 5
        assert await names_of(store, which, max_bytes=2500) == list("01234")


async def check_lists_of_items_stay_right_while_items_are_added(harness: StoreHarness) -> None:
    """Items that come between two pages neither repeat nor hide others; the other way round they come in the end."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.append(*(item_done(f"old {number}", number) for number in range(4)))
    which = ItemRange(scene.session, LOG)
    up = await page_of(store, which, limit=3)
    down = await page_of(store, replace(which, newest_first=True), limit=3)
    await scene.append(item_done("new", 4))
    rest = await page_of(store, which, page=up)
    assert [record.item.item_id for record in rest.items] == ["old 3", "new"]
    rest = await page_of(store, replace(which, newest_first=True), page=down)
    assert [record.item.item_id for record in rest.items] == ["old 0"]


async def check_items_of_a_session_that_does_not_live_are_not_listed(harness: StoreHarness) -> None:
    """``None`` for an id never seen, another incarnation and a deleted session; an empty page for one without items."""
    store = await harness.open()
    await store.commit((new_session("empty"),))
    empty = SessionKey(new_session("empty").key.tenant, "empty")
    page = await page_of(store, ItemRange(empty, "log-empty"))
    assert (list(page.items), page.end) == ([], None)
    assert await store.newest_turns(empty, "log-empty", newest=3) is None
    scene = await open_scene(store)
    await scene.append(item_done("item"))
    await scene.finish()
    for session, log_id in ((scene.session, "another"), (empty._replace(session_id="never"), LOG)):
        which = ItemRange(session, log_id)
        assert await store.list_items(which, limit=9, max_bytes=BYTES) is None
        assert await store.newest_turns(session, log_id, newest=3) is None
    session_record = await store.get_session(scene.session)
    assert session_record is not None
    await take_over(store, SESSIONS, (replace(session_record, delete_time=await store.time()),))
    for which in (
        ItemRange(scene.session, LOG),
        ItemRange(scene.session, LOG, request_id=scene.request.request_id),
        ItemRange(scene.session, LOG, turns=(1, 1)),
    ):
        assert await store.list_items(which, limit=9, max_bytes=BYTES) is None
