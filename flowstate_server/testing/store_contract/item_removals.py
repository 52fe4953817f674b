"""Removing items: their content goes, all or nothing, and their places stay."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace

from flowstate_server.errors import RequestOpenError, StoreUnavailableError, VersionMismatchError
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event, EventRecord, EventType
from flowstate_server.model.items import Item, ItemKind
from flowstate_server.model.payloads import ItemAdded, ItemDelta, ItemRemoved
from flowstate_server.model.records import Failure, RequestStatus, TurnKey
from flowstate_server.model.removals import (
    EmptiedRequest,
    ItemKey,
    ItemRemoval,
    decode_removals,
    removals_key,
)
from flowstate_server.model.scopes import RequestKey, SessionKey, user_scope
from flowstate_server.stores.contract.deletion_writes import RemoveHistory
from flowstate_server.stores.contract.item_writes import AppendItems, ItemsChanged, RemoveItems
from flowstate_server.stores.contract.lists import ItemRange
from flowstate_server.stores.contract.tables import EVENTS
from flowstate_server.stores.contract.writes import AtVersion, ChangeState, SessionChanged
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    FOR_CLIENTS,
    Scene,
    events_of,
    finish,
    head_of,
    incrementing,
    item_done,
    note,
    open_scene,
    request_of,
)
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness
from flowstate_server.testing.store_contract.item_appends import whole_items
from flowstate_server.testing.store_contract.population import exports_of

LOG = "log-session-1"
SECRET = b'{"parts":[{"type":"text","text":"secret"}]}'
EMPTIED = b'{"output_omitted":true}'
MANY = 1 << 20
_NO_TIME = Micros(0)


def delta(item_id: str, text: str = "secret") -> Event:
    payload = ItemDelta(item_id, 0, text).encode()
    return Event(EventType.ITEM_DELTA, payload, FOR_CLIENTS, transient=True)


async def removal(
    store: Store,
    session: SessionKey,
    ids: Collection[str],
    *,
    log_id: str = LOG,
    turns: tuple[TurnKey, ...] = (),
    emptied: tuple[EmptiedRequest, ...] = (),
) -> RemoveItems:
    """The write that removes these items with their deltas."""
    events = await events_of(store, session)
    deltas: dict[str, list[int]] = {}
    for event in events:
        if event.event.type is EventType.ITEM_DELTA:
            item_id = ItemDelta.decode(event.event.payload).item_id
            deltas.setdefault(item_id, []).append(event.session_sequence)
    items = [
        ItemRemoval(
            ItemKey(session, log_id, event.session_sequence),
            item.item_id,
            item.audiences,
            event.request_id,
            tuple(deltas.get(item.item_id, ())),
        )
        for event in events
        if (item := event.event.item) is not None and item.item_id in ids
    ]
    assert len(items) == len(ids)
    counter = removals_key(session, log_id)
    seen = decode_removals((await store.load_documents((counter,))).get(counter))
    return RemoveItems(session, log_id, tuple(items), seen, turns, emptied)


def emptied(scene: Scene, end: EventRecord) -> EmptiedRequest:
    return EmptiedRequest(scene.request, scene.session, LOG, end.session_sequence, EMPTIED)


async def _told(store: Store) -> Scene:
    """A request that has ended, with two items that were streamed among one another."""
    scene = await open_scene(store)
    await scene.append(delta("a"), delta("b"), delta("a"), note("kept", transient=True))
    await scene.append(item_done("a", 0, SECRET), item_done("b", 1, SECRET), note("kept"))
    await scene.finish()
    return scene


def _ids(events: list[EventRecord], type: EventType) -> list[str]:
    return [ItemDelta.decode(one.event.payload).item_id for one in events if one.event.type is type]


async def check_removed_item_loses_its_content(harness: StoreHarness) -> None:
    """Its content and deltas go, from the log of its request and of its session; all else stays as it was."""
    store = await harness.open()
    scene = await _told(store)
    before = await events_of(store, scene.session)
    [written] = (await store.commit((await removal(store, scene.session, ["a"]),))).results
    assert (written.ids, written.version) == (("a",), 1)
    gone = Item("a", ItemKind.MESSAGE, 0, b"", role="assistant", removed=True)
    left = Item("b", ItemKind.MESSAGE, 1, SECRET, role="assistant")
    *events, told = await events_of(store, scene.session)
    for log in (events, await events_of(store, scene.request)):
        assert _ids(log, EventType.ITEM_DELTA) == ["b"]
        assert [one.event.item for one in log if one.event.item is not None] == [gone, left]
        assert len([one for one in log if one.event.type is EventType.CUSTOM]) == 2
    assert (told.event.type, told.event.audiences) == (EventType.ITEM_REMOVED, gone.audiences)
    assert ItemRemoved.decode(told.event.payload) == ItemRemoved("a")
    assert (told.request_id, told.sequence, told.session_sequence) == ("", 0, len(before) + 1)
    kept = {one.session_sequence: one for one in before}
    assert all(kept[one.session_sequence] == one for one in events if one.event.item != gone)
    request = await request_of(store, scene.request)
    assert (request.input, request.output) == (b'{"message":"hello"}', b'"done"')


async def check_what_is_left_keeps_its_place(harness: StoreHarness) -> None:
    """No turn and no list has them, but a list that asks for them; an item that is left is where it was."""
    store = await harness.open()
    scene = await _told(store)
    await store.commit((AppendItems(scene.session, LOG, whole_items("c", "d")),))
    await store.commit((await removal(store, scene.session, ["a", "c"]),))
    turns = await store.read_turns(scene.session, LOG, newest=9)
    assert [(one.item.item_id, one.item.index, one.turn) for one in turns] == [("b", 1, 1), ("d", 1, 2)]
    which = ItemRange(scene.session, LOG)
    for wanted, with_removed in ((["b", "d"], False), (["a", "b", "c", "d"], True)):
        for turns_of in (None, (1, 2)):
            for newest_first in (False, True):
                listed = ItemRange(
                    scene.session, LOG, turns=turns_of, newest_first=newest_first, with_removed=with_removed
                )
                page = await store.list_items(listed, limit=9, max_bytes=MANY)
                assert page is not None
                found = [one.item.item_id for one in page.items]
                assert (found[::-1] if newest_first else found) == wanted, listed
    page = await store.list_items(which, limit=1, max_bytes=MANY)
    assert page is not None
    assert page.end is not None
    of_request = ItemRange(scene.session, LOG, request_id="request-1", with_removed=True)
    page = await store.list_items(of_request, limit=9, max_bytes=MANY)
    assert page is not None
    assert [(one.item.item_id, one.item.removed) for one in page.items] == [("a", True), ("b", False)]


async def check_emptied_request_loses_input_and_output(harness: StoreHarness) -> None:
    """With its last item go its input, its output, what its end says of it, and its turn. Numbers of turns go on."""
    store = await harness.open()
    scene = await _told(store)
    end = (await events_of(store, scene.request))[-1]
    turn = TurnKey(scene.session, LOG, 1)
    write = await removal(store, scene.session, ["a", "b"], turns=(turn,), emptied=(emptied(scene, end),))
    await store.commit((write,))
    request = await request_of(store, scene.request)
    assert (request.input, request.output) == (b"", None)
    assert request.head.status is RequestStatus.COMPLETED
    events = await events_of(store, scene.request)
    assert (events[-1].event.type, events[-1].event.payload) == (EventType.REQUEST_COMPLETED, EMPTIED)
    assert events[-1].sequence == end.sequence == request.head.sequence
    assert list(await store.list_turns(scene.session, LOG, limit=9)) == []
    assert await store.newest_turns(scene.session, LOG, newest=9) is None
    await store.commit((AppendItems(scene.session, LOG, whole_items("c")),))
    assert [one.turn for one in await store.read_turns(scene.session, LOG, newest=9)] == [2]


async def check_failed_request_is_emptied_too(harness: StoreHarness) -> None:
    """It was no turn, and had no output."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.append(item_done("a", 0, SECRET))
    await scene.finish(RequestStatus.FAILED)
    end = (await events_of(store, scene.request))[-1]
    gone = EmptiedRequest(scene.request, scene.session, LOG, end.session_sequence, end.event.payload)
    await store.commit((await removal(store, scene.session, ["a"], emptied=(gone,)),))
    request = await request_of(store, scene.request)
    assert (request.input, request.output, request.head.status) == (b"", None, RequestStatus.FAILED)
    assert (await events_of(store, scene.request))[-1].event == end.event


async def check_what_tells_of_the_removed_is_told_anew(harness: StoreHarness) -> None:
    """The item's name, events that a removal names, and what is said of the request's failure; nothing else."""
    store = await harness.open()
    scene = await open_scene(store)
    item = Item("a", ItemKind.CUSTOM, 0, SECRET, name="secret")
    added = Event(EventType.ITEM_ADDED, ItemAdded(item).encode(), item.audiences)
    done = Event(EventType.ITEM_DONE, b"{}", item.audiences, item=item)
    await scene.append(added, done, note("secret"), note("kept"))
    failure = Failure("CODE", "secret", {"secret": 1}, retryable=True)
    await scene.commit(replace(finish(scene.request, status=RequestStatus.FAILED), failure=failure))
    before = await events_of(store, scene.session)
    places = {record.event.type: record.session_sequence for record in before}
    told = next(one for one in before if one.event.type is EventType.CUSTOM).session_sequence
    nameless = ItemAdded(replace(item, name="")).encode()
    write = await removal(store, scene.session, ["a"])
    [named] = write.items
    named = replace(named, retold=((places[EventType.ITEM_ADDED], nameless),))
    left = replace(failure, message="gone", details={})
    gone = EmptiedRequest(
        scene.request, scene.session, LOG, before[-1].session_sequence, EMPTIED, left, ((told, b"{}"),)
    )
    await store.commit((replace(write, items=(named,), emptied=(gone,)),))
    assert (await request_of(store, scene.request)).failure == left
    events = await events_of(store, scene.session)
    for log in (events, await events_of(store, scene.request)):
        by_place = {record.session_sequence: record.event for record in log}
        assert by_place[places[EventType.ITEM_ADDED]].payload == nameless
        assert by_place[places[EventType.ITEM_DONE]].item == replace(item, name="", content=b"", removed=True)
        assert by_place[told].payload == b"{}"
        assert by_place[before[-1].session_sequence].payload == EMPTIED
    kept = [record for record in before if record.event == note("kept")]
    assert [record for record in events if record.event == note("kept")] == kept


async def check_turn_from_outside_is_removed(harness: StoreHarness) -> None:
    """It does not count any more once its last item is gone."""
    store = await harness.open()
    scene = await _told(store)
    await store.commit((AppendItems(scene.session, LOG, whole_items("c", content=SECRET)),))
    write = await removal(store, scene.session, ["c"], turns=(TurnKey(scene.session, LOG, 2),))
    await store.commit((write,))
    assert await store.newest_turns(scene.session, LOG, newest=1) == (1, 1)
    items = await store.read_turns(scene.session, LOG, newest=1)
    assert [one.item.item_id for one in items] == ["a", "b"]


async def check_items_of_an_open_request_stay(harness: StoreHarness) -> None:
    """A removal of one is refused with all that goes with it."""
    store = await harness.open()
    ended = await _told(store)
    running = await open_scene(store, request_id="running")
    await running.append(item_done("r", 0, SECRET))
    before = await events_of(store, ended.session)
    write = await removal(store, ended.session, ["a", "r"])
    with refused(RequestOpenError, request_id="running"):
        await store.commit((write,))
    assert await events_of(store, ended.session) == before


async def check_refused_removal_leaves_no_trace(harness: StoreHarness) -> None:
    """Nothing goes if another write of its batch, or its session, refuses it; the next removal is not hindered."""
    store = await harness.open()
    scene = await _told(store)
    before = await events_of(store, scene.session)
    write = await removal(store, scene.session, ["a"])
    failing = ChangeState(user_scope("ada"), incrementing(), precondition=AtVersion(7))
    with refused(VersionMismatchError):
        await store.commit((write, failing))
    with refused(SessionChanged):
        await store.commit((RemoveItems(scene.session, "earlier", write.items, 0),))
    assert await events_of(store, scene.session) == before
    await store.commit((write,))
    assert len(await events_of(store, scene.session)) == len(before) + 1 - 2


async def check_removals_notice_one_another(harness: StoreHarness) -> None:
    """Of two that have read the same, one is told to read again: else neither would see that a turn is empty."""
    store = await harness.open()
    scene = await _told(store)
    one = await removal(store, scene.session, ["a"])
    other = await removal(store, scene.session, ["b"])
    answers = await settled(store.commit((one,)), store.commit((other,)))
    assert sorted(type(answer).__name__ for answer in answers) == ["CommitResult", "ItemsChanged"]
    with refused(ItemsChanged):
        await store.commit((one,))


async def check_what_is_gone_already_hinders_no_removal(harness: StoreHarness) -> None:
    """Deltas that were swept, and a turn that is not there, are passed over."""
    store = await harness.open()
    scene = await _told(store)
    write = await removal(store, scene.session, ["a"], turns=(TurnKey(scene.session, LOG, 9),))
    while await store.sweep_transient_events(retention=_NO_TIME, limit=100):
        pass
    await store.commit((write,))
    [gone, _] = [one for one in await events_of(store, scene.request) if one.event.item is not None]
    assert gone.event.item is not None
    assert gone.event.item.removed


async def check_history_goes_beside_a_removal_of_items(harness: StoreHarness) -> None:
    """Of a removal of items and one of the whole request at once either may come first: nothing of it is left."""
    store = await harness.open()
    for number, items_first in enumerate((True, False)):
        scene = await open_scene(store, f"session-{number}", f"request-{number}")
        log_id = f"log-session-{number}"
        await scene.append(delta("a"))
        await scene.append(item_done("a", 0, SECRET), item_done("b", 1, SECRET))
        await scene.finish()
        last = (await events_of(store, scene.request))[-1].session_sequence
        turns = (TurnKey(scene.session, log_id, 1),)
        items = await removal(store, scene.session, ["a"], log_id=log_id)
        history = RemoveHistory(scene.session, log_id, 0, last, (scene.request,), turns)
        writes = (items, history) if items_first else (history, items)
        await asyncio.gather(*(store.commit((write,)) for write in writes))
        assert await store.get_request(scene.request) is None
        left = await events_of(store, scene.session)
        assert [one.event.type for one in left] == [EventType.ITEM_REMOVED]
        assert await store.read_turns(scene.session, log_id, newest=9) == []
        page = await store.list_items(ItemRange(scene.session, log_id), limit=9, max_bytes=MANY)
        assert page is not None
        assert list(page.items) == []


async def check_removal_is_kept(harness: StoreHarness) -> None:
    """What was removed is gone after the data was closed and opened, and what comes after goes on from there."""
    store = await harness.open()
    scene = await _told(store)
    end = (await events_of(store, scene.request))[-1]
    gone = (emptied(scene, end),)
    turns = (TurnKey(scene.session, LOG, 1),)
    await store.commit((await removal(store, scene.session, ["a", "b"], turns=turns, emptied=gone),))
    await store.commit((AppendItems(scene.session, LOG, whole_items("c")),))
    logs = (scene.request, scene.session)
    before = [await events_of(store, log) for log in logs]
    request, head = await request_of(store, scene.request), await head_of(store, scene.request)
    store = await harness.reopen(store)
    assert [await events_of(store, log) for log in logs] == before
    assert (await request_of(store, scene.request), await head_of(store, scene.request)) == (request, head)
    assert [one.item.item_id for one in await store.read_turns(scene.session, LOG, newest=9)] == ["c"]
    await store.commit((await removal(store, scene.session, ["c"]),))
    assert len(await events_of(store, scene.session)) == len(before[1]) + 1


async def check_removed_content_is_not_exported(harness: StoreHarness) -> None:
    """Exports have the places of removed items, nothing of their content, and no deltas."""
    store = await harness.open()
    exports = exports_of(store)
    scene = await _told(store)
    end = (await events_of(store, scene.request))[-1]
    write = await removal(store, scene.session, ["a", "b"], emptied=(emptied(scene, end),))
    await store.commit((write,))
    exported = await exports.export(EVENTS, after=None, limit=1000, max_bytes=MANY)
    assert list(exported) == await events_of(store, scene.session)
    assert not [one for one in exported if "secret" in repr(one)]


async def check_dying_in_a_removal_removes_all_or_nothing(harness: StoreHarness) -> None:
    """A process that dies while items are removed leaves all of them and all that goes with them, or nothing of it."""
    store = await harness.open()
    for statements in range(200):
        scene = await open_scene(store, request_id=f"request-{statements}")
        names = [f"{statements} {name}" for name in "ab"]
        await scene.append(delta(names[0]), *(item_done(name, 0, SECRET) for name in names))
        await scene.finish()
        end = (await events_of(store, scene.request))[-1]
        [turn] = await store.list_turns(scene.session, LOG, limit=1)
        write = await removal(store, scene.session, names, turns=(turn.key,), emptied=(emptied(scene, end),))
        harness.crash_after(store, statements)
        [answer] = await settled(store.commit((write,)))
        store = await harness.reopen(store)
        removed = await _is_removed(store, scene.request, turn.key)
        if not isinstance(answer, Exception):
            assert removed
            return
        assert isinstance(answer, StoreUnavailableError), answer
    raise AssertionError("the removal was never done")


async def _is_removed(store: Store, request: RequestKey, turn: TurnKey) -> bool:
    record = await request_of(store, request)
    events = await events_of(store, request)
    told = [one for one in await events_of(store, turn.session) if one.event.type is EventType.ITEM_REMOVED]
    removed = record.input == b""
    items = [one.event.item for one in events if one.event.item is not None]
    assert [item.removed for item in items] == [removed] * 2
    assert [item.content for item in items] == [b"" if removed else SECRET] * 2
    assert (record.output is None) == removed
    assert (events[-1].event.payload == EMPTIED) == removed
    assert len(_ids(events, EventType.ITEM_DELTA)) == (0 if removed else 1)
    turns = await store.list_turns(turn.session, LOG, limit=1000)
    assert (turn in [one.key for one in turns]) != removed
    names = {item.item_id for item in items}
    mine = [one for one in told if ItemRemoved.decode(one.event.payload).item_id in names]
    assert len(mine) == (2 if removed else 0)
    return removed
