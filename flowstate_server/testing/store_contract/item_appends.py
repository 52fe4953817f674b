"""Items from outside: turns of their own, and items of requests that run."""

from __future__ import annotations

from flowstate_server.errors import (
    IdempotencyKeyReusedError,
    RequestNotFoundError,
    RequestTerminalError,
    SessionNotFoundError,
)
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.items import Item, ItemKind
from flowstate_server.model.payloads import ItemAdded
from flowstate_server.model.records import IdempotencyKey, TurnKey, TurnRecord
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.item_writes import AppendItems
from flowstate_server.stores.contract.writes import PutIdempotencyKey, SessionChanged
from flowstate_server.testing.store_contract.builders import events_of, head_of, item_done, open_scene
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import StoreHarness

LOG = "log-session-1"


def whole_items(*ids: str, content: bytes = b'{"parts":[]}') -> tuple[Event, ...]:
    """``item.added`` and ``item.done`` of items."""
    events: list[Event] = []
    for index, item_id in enumerate(ids):
        item = Item(item_id, ItemKind.MESSAGE, index, content, role="user")
        events.append(Event(EventType.ITEM_ADDED, ItemAdded(item).encode(), item.audiences))
        events.append(Event(EventType.ITEM_DONE, b"{}", item.audiences, item=item))
    return tuple(events)


async def check_items_from_outside_are_a_turn(harness: StoreHarness) -> None:
    """All items of one append are one turn: in the session's log only, counted and read like those of requests."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.append(item_done("of the run"))
    result = await store.commit((AppendItems(scene.session, LOG, whole_items("a", "b")),))
    assert result.results[0].ids == ("a", "b")
    await scene.finish()
    await store.commit((AppendItems(scene.session, LOG, whole_items("c")),))
    events = [event for event in await events_of(store, scene.session) if not event.request_id]
    assert [event.event.type for event in events] == [EventType.ITEM_ADDED, EventType.ITEM_DONE] * 3
    assert [(event.sequence, event.session_sequence) for event in events] == [
        (0, 2),
        (0, 3),
        (0, 4),
        (0, 5),
        (0, 7),
        (0, 8),
    ]
    for newest, wanted in ((1, ["c"]), (2, ["of the run", "c"])):
        items = await store.read_turns(scene.session, LOG, newest=newest)
        assert [record.item.item_id for record in items] == wanted
    items = await store.read_turns(scene.session, LOG, newest=3)
    assert [record.item.item_id for record in items] == ["a", "b", "of the run", "c"]
    assert [record.turn for record in items] == [1, 1, 2, 3]
    assert items[0].create_time == result.time


async def check_turns_are_listed_newest_first(harness: StoreHarness) -> None:
    """Turns with numbers below one, the newest first, whosoever they are."""
    store = await harness.open()
    scene = await open_scene(store)
    await store.commit((AppendItems(scene.session, LOG, whole_items("a", "b")),))
    await scene.finish()
    await store.commit((AppendItems(scene.session, LOG, whole_items("c")),))
    turns = [
        TurnRecord(TurnKey(scene.session, LOG, 3), "", first=6, last=7),
        TurnRecord(TurnKey(scene.session, LOG, 2), "request-1"),
        TurnRecord(TurnKey(scene.session, LOG, 1), "", first=1, last=4),
    ]
    assert list(await store.list_turns(scene.session, LOG, limit=10)) == turns
    assert list(await store.list_turns(scene.session, LOG, limit=2)) == turns[:2]
    assert list(await store.list_turns(scene.session, LOG, limit=2, before=2)) == turns[2:]
    assert list(await store.list_turns(scene.session, LOG, limit=2, before=1)) == []
    assert list(await store.list_turns(scene.session, "another", limit=2)) == []


async def check_items_on_behalf_of_a_request_are_its_own(harness: StoreHarness) -> None:
    """They land in its log, while it is open, and are no turn before it is."""
    store = await harness.open()
    scene = await open_scene(store)
    append = AppendItems(scene.session, LOG, whole_items("a"), scene.request)
    [written] = (await store.commit((append,))).results
    assert written.head == await head_of(store, scene.request)
    assert [event.sequence for event in await events_of(store, scene.request)] == [1, 2]
    assert list(await store.read_turns(scene.session, LOG, newest=9)) == []
    await scene.finish()
    [item] = await store.read_turns(scene.session, LOG, newest=9)
    assert (item.item.item_id, item.request_id, item.turn) == ("a", "request-1", 1)
    with refused(RequestTerminalError):
        await store.commit((append,))


async def check_items_for_others_are_refused(harness: StoreHarness) -> None:
    """Of another session's request, of another incarnation, of a session that is not there: nothing is added."""
    store = await harness.open()
    scene = await open_scene(store)
    other = await open_scene(store, "session-2", "request-2")
    items = whole_items("a")
    for error, write in (
        (RequestNotFoundError, AppendItems(scene.session, LOG, items, other.request)),
        (SessionChanged, AppendItems(scene.session, "earlier", items)),
        (SessionNotFoundError, AppendItems(SessionKey(NO_TENANT, "never"), LOG, items)),
    ):
        with refused(error):
            await store.commit((write,))
    assert await events_of(store, scene.session) == []
    assert await events_of(store, other.session) == []


async def check_repeated_append_gives_the_ids(harness: StoreHarness) -> None:
    """An append under a key that is known adds nothing, and is answered with the ids of the first items."""
    store = await harness.open()
    scene = await open_scene(store)
    key = IdempotencyKey(NO_TENANT, "ada", "AppendItems", "once")

    def batch(item_id: str, fingerprint: str = "print") -> tuple[PutIdempotencyKey, AppendItems]:
        remember = PutIdempotencyKey(key, fingerprint, Micros(60 * SECOND))
        return remember, AppendItems(scene.session, LOG, whole_items(item_id))

    await store.commit(batch("first"))
    again = await store.commit(batch("second"))
    assert (again.replayed, again.results[-1].ids) == (True, ("first",))
    with refused(IdempotencyKeyReusedError):
        await store.commit(batch("third", "another"))
    assert len(await events_of(store, scene.session)) == 2
