"""History that is removed: whole requests and turns, the oldest first, each with all it had or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flowstate_server.errors import RequestNotFoundError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import DocumentKey, DocumentRange, request_owner
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.items import FOR_CLIENTS
from flowstate_server.model.records import RequestStatus, TurnKey, TurnRecord
from flowstate_server.model.removals import ItemKey, ItemRemoval
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.deletion_writes import RemoveHistory
from flowstate_server.stores.contract.document_writes import PutDocument
from flowstate_server.stores.contract.item_writes import RemoveItems
from flowstate_server.stores.contract.tables import EVENTS, REQUESTS, TURNS, Table
from flowstate_server.stores.contract.writes import AppendEvents, RequestCancel
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    Scene,
    events_of,
    head_of,
    item_done,
    new_request,
    note,
    open_scene,
    take_over,
)
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import StoreHarness
from flowstate_server.testing.store_contract.population import exports_of

KEY = SessionKey(NO_TENANT, "session-1")
LOG = "log-session-1"
FIRST, SECOND_ONE, THIRD = (RequestKey(NO_TENANT, f"request-{number}") for number in range(3))


async def _history(store: Store) -> Scene:
    """Three turns of three events each, one event outside ahead of them and one behind; a request is open all the time.

    The log: 1 outside, 2 of the open request, 3 to 5, 6 to 8 and 9 to 11 of the turns, 12 outside.
    """
    running = await open_scene(store, request_id="running")
    await store.commit((AppendEvents(KEY, (note("outside"),)),))
    await running.append(note("early"))
    for key in (FIRST, SECOND_ONE, THIRD):
        scene = await open_scene(store, request_id=key.request_id)
        await scene.append(note(), item_done(f"of {key.request_id}"))
        await scene.commit(PutDocument(DocumentKey(request_owner(key), "kind", ("a",)), b"1"))
        await scene.finish()
    await store.commit((AppendEvents(KEY, (note("outside"),)),))
    return running


def _removal(place: int, *requests: RequestKey, floor: int = 0) -> RemoveHistory:
    turns = tuple([TurnKey(KEY, LOG, number) for number in range(1, len(requests) + 1)])
    return RemoveHistory(KEY, LOG, floor, place, requests, turns)


async def check_removed_requests_are_gone_whole(harness: StoreHarness) -> None:
    """A removed request goes with events, items, turn, input, outcome and documents; all that is newer stays."""
    store = await harness.open()
    running = await _history(store)
    result = (await store.commit((_removal(8, FIRST, SECOND_ONE),))).results[0]
    assert (result.ids, result.changed) == (("request-0", "request-1"), True)
    for key in (FIRST, SECOND_ONE):
        assert await store.get_request(key) is None
        assert await store.read_events(key, after=0, limit=10, max_bytes=1 << 20) is None
        assert list(await store.read_documents(DocumentRange(request_owner(key), "kind", 10))) == []
        known = await store.get_removed_request(key)
        assert known is not None
        assert (known.head.status, known.head.user_id, known.input) == (RequestStatus.REMOVED, "ada", b"")
        assert (known.output, known.reason) == (None, "")
    assert [one.item.item_id for one in await store.read_turns(KEY, LOG, newest=10)] == ["of request-2"]
    oldest = await store.read_oldest_turns(KEY, LOG, limit=5)
    assert ([turn.request_id for turn in oldest.turns], oldest.count) == (["request-2"], 1)
    projection = await store.read_projection(KEY, ())
    assert projection is not None
    assert (projection.head.floor, projection.head.sequence, projection.head.turns) == (8, 12, 3)
    assert [event.session_sequence for event in await events_of(store, KEY)] == [2, 9, 10, 11, 12]
    assert [event.sequence for event in await events_of(store, running.request)] == [1]
    assert len(await events_of(store, THIRD)) == 3
    assert await store.get_removed_request(THIRD) is None
    await running.append(note("later"))
    await running.finish()
    assert [event.session_sequence for event in await events_of(store, running.request)] == [2, 13, 14]


async def check_removal_leaves_alone_what_is_open_or_gone(harness: StoreHarness) -> None:
    """A removal passes over open requests, those that are gone and those of another session, and may be repeated."""
    store = await harness.open()
    running = await _history(store)
    await open_scene(store, "session-2", "elsewhere")
    other = RequestKey(NO_TENANT, "elsewhere")
    await store.commit((_removal(5, FIRST),))
    again = RemoveHistory(KEY, LOG, 5, 5, (FIRST, running.request, other, RequestKey(NO_TENANT, "never")), ())
    assert not (await store.commit((again,))).results[0].changed
    assert not (await store.commit((RemoveHistory(KEY, "other", 5, 12, (THIRD,), ()),))).results[0].changed
    assert (await head_of(store, running.request)).status.open
    assert (await head_of(store, other)).status.open
    assert len(await events_of(store, THIRD)) == 3
    lower = await store.commit((_removal(3, floor=5),))
    assert not lower.results[0].changed
    projection = await store.read_projection(KEY, ())
    assert projection is not None
    assert projection.head.floor == 5


async def check_removal_planned_on_what_is_no_more_changes_nothing(harness: StoreHarness) -> None:
    """A removal that was planned on another floor, or before further items were removed, changes nothing."""
    store = await harness.open()
    await _history(store)
    planned = replace(_removal(8, FIRST, SECOND_ONE), removals=0)
    await store.commit((_removal(5, FIRST),))
    assert not (await store.commit((planned,))).results[0].changed
    item = next(event for event in await events_of(store, THIRD) if event.event.item is not None)
    gone = ItemRemoval(ItemKey(KEY, LOG, item.session_sequence), "of request-2", FOR_CLIENTS, "request-2")
    removal = RemoveItems(KEY, LOG, (gone,), seen=0, turns=(TurnKey(KEY, LOG, 3),))
    await store.commit((removal,))
    planned = replace(_removal(8, SECOND_ONE, floor=5), turns=(TurnKey(KEY, LOG, 2),), removals=0)
    assert not (await store.commit((planned,))).results[0].changed
    assert len(await events_of(store, SECOND_ONE)) == 3
    assert (await store.read_oldest_turns(KEY, LOG, limit=5)).count == 1
    assert (await store.commit((replace(planned, removals=1),))).results[0].changed
    assert (await store.read_oldest_turns(KEY, LOG, limit=5)).count == 0


async def check_id_of_a_removed_request_is_remembered(harness: StoreHarness) -> None:
    """The id of a removed request is refused until it is forgotten, and is new after that; its session lives on."""
    store = await harness.open()
    await _history(store)
    await store.commit((_removal(5, FIRST),))
    for write in (new_request(KEY, FIRST.request_id), RequestCancel(FIRST, "why")):
        with refused(RequestNotFoundError):
            await store.commit((write,))
    assert await store.sweep_sessions(retention=Micros(3600 * SECOND), limit=10) == 0
    assert await store.sweep_sessions(retention=Micros(0), limit=10) == 1
    assert await store.get_removed_request(FIRST) is None
    assert (await store.commit((new_request(KEY, FIRST.request_id),))).attached is None
    assert len(await events_of(store, THIRD)) == 3


async def check_removal_lasts(harness: StoreHarness) -> None:
    """What was removed is gone when the data is opened again, and its session goes on where it was."""
    store = await harness.open()
    await _history(store)
    await store.commit((_removal(8, FIRST, SECOND_ONE),))
    store = await harness.reopen(store)
    assert await store.get_request(FIRST) is None
    assert await store.get_removed_request(FIRST) is not None
    assert [event.session_sequence for event in await events_of(store, KEY)] == [2, 9, 10, 11, 12]
    oldest = await store.read_oldest_turns(KEY, LOG, limit=5)
    assert ([turn.key.number for turn in oldest.turns], oldest.count) == ([3], 1)
    scene = await open_scene(store, request_id="next")
    await scene.append(note("next"))
    assert [event.session_sequence for event in await events_of(store, scene.request)] == [13]
    await scene.finish()
    assert [turn.key.number for turn in (await store.read_oldest_turns(KEY, LOG, limit=5)).turns] == [3, 4]


async def check_removed_history_is_not_exported(harness: StoreHarness) -> None:
    """Exports give nothing of a removed request but its head, by which a copy refuses its id as well."""
    store = await harness.open()
    exports = exports_of(store)
    await _history(store)
    await store.commit((_removal(8, FIRST, SECOND_ONE),))

    async def exported(table: Table[Any, Any]) -> list[Any]:
        return list(await exports.export(table, after=None, limit=100, max_bytes=1 << 20))

    assert [one.session_sequence for one in await exported(EVENTS)] == [2, 9, 10, 11, 12]
    assert [one.key.number for one in await exported(TURNS)] == [3]
    removed = [
        (one.key.request_id, one.input)
        for one in await exported(REQUESTS)
        if one.head.status is RequestStatus.REMOVED
    ]
    assert removed == [("request-0", b""), ("request-1", b"")]


async def check_removed_turn_from_outside_takes_its_items(harness: StoreHarness) -> None:
    """A turn without a request goes with the events and items of its place, and with those outside that are older."""
    store = await harness.open()
    await _history(store)
    await store.commit((AppendEvents(KEY, (item_done("a"), item_done("b", 1))),))
    await store.commit((AppendEvents(KEY, (item_done("c"), note("outside"))),))
    turns = [TurnKey(KEY, LOG, number) for number in (4, 5)]
    await take_over(
        store,
        TURNS,
        (TurnRecord(turns[0], "", first=13, last=14), TurnRecord(turns[1], "", first=15, last=16)),
    )
    every = (FIRST, SECOND_ONE, THIRD)
    keys = tuple([TurnKey(KEY, LOG, number) for number in range(1, 5)])
    assert (await store.commit((RemoveHistory(KEY, LOG, 0, 14, every, keys),))).results[0].changed
    assert [one.item.item_id for one in await store.read_turns(KEY, LOG, newest=10)] == ["c"]
    assert [event.session_sequence for event in await events_of(store, KEY)] == [2, 15, 16]
    oldest = await store.read_oldest_turns(KEY, LOG, limit=5)
    assert ([turn.key.number for turn in oldest.turns], oldest.count) == ([5], 1)
