"""Logs: sequences without a hole, pages, cursors that never skip."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flowstate_server.errors import RequestNotFoundError, RequestTerminalError
from flowstate_server.model.events import Event, EventType, LogHead
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.items import Audience, Item, ItemKind
from flowstate_server.model.json_values import decode_json
from flowstate_server.model.scopes import LogKey, RequestKey, SessionKey
from flowstate_server.stores.contract.watch import Topic, TopicKind, Watch
from flowstate_server.stores.contract.writes import AppendEvents, RequireRun
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    FOR_CLIENTS,
    PROCESS,
    Scene,
    events_of,
    head_of,
    item_done,
    note,
    open_scene,
)
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import StoreHarness


async def check_event_is_kept_as_appended(harness: StoreHarness) -> None:
    """An event comes back with every field as it was appended, in its place."""
    store = await harness.open()
    scene = await open_scene(store)
    audiences = frozenset((Audience.HISTORY, Audience.INTERNAL))
    item = Item(
        item_id="item-1",
        kind=ItemKind.TOOL_CALL,
        index=3,
        content=b'{"call_id":"c","arguments":{}}',
        role="tool",
        name="search",
        audiences=audiences,
    )
    events = (
        Event(
            EventType.BLOCK_FAILED,
            b'{"failure":{}}',
            frozenset((Audience.INTERNAL,)),
            block_path=("a", "b.c", ""),
        ),
        Event(EventType.STATUS, b'{"text":"","progress":0.5}', FOR_CLIENTS, transient=True),
        Event(EventType.ITEM_DONE, b"{}", audiences, block_path=("a",), item=item),
        Event(EventType.CUSTOM, b'{"name":"x","data":null}', frozenset()),
    )
    result = await scene.append(*events)
    found = await events_of(store, scene.request)
    assert tuple(record.event for record in found) == events
    assert [record.sequence for record in found] == [1, 2, 3, 4]
    assert [record.session_sequence for record in found] == [1, 2, 3, 4]
    for record in found:
        assert (record.session, record.session_log_id) == (scene.session, "log-session-1")
        assert (record.request_id, record.time) == ("request-1", result.time)


async def check_every_event_type_is_kept(harness: StoreHarness) -> None:
    """Each event type comes back as itself."""
    store = await harness.open()
    scene = await open_scene(store)
    kinds = [kind for kind in EventType if not kind.terminal]
    await scene.append(*(Event(kind, b"{}", FOR_CLIENTS) for kind in kinds))
    assert [record.event.type for record in await events_of(store, scene.request)] == kinds


async def check_every_item_kind_is_kept(harness: StoreHarness) -> None:
    """Each item kind comes back as itself."""
    store = await harness.open()
    scene = await open_scene(store)
    items = [Item(f"item-{kind.value}", kind, index, b"{}") for index, kind in enumerate(ItemKind)]
    await scene.append(*(Event(EventType.ITEM_DONE, b"{}", item.audiences, item=item) for item in items))
    await scene.finish()
    assert [
        record.item for record in await store.read_turns(scene.session, "log-session-1", newest=1)
    ] == items


async def check_sequences_have_no_hole_under_concurrency(harness: StoreHarness) -> None:
    """Sequences of requests and of their session are 1, 2, 3, ... under concurrent appends."""
    store = await harness.open()
    scenes = [await open_scene(store, request_id=f"request-{number}") for number in range(4)]
    only_session = AppendEvents(scenes[0].session, (note("session"),))
    calls = [scene.append(note("a"), note("b")) for scene in scenes for _ in range(15)]
    await asyncio.gather(*calls, *(store.commit((only_session,)) for _ in range(5)))
    places: list[int] = []
    for scene in scenes:
        events = await events_of(store, scene.request)
        assert [event.sequence for event in events] == list(range(1, 31))
        assert [decode_json(event.event.payload) for event in events[:2]] == [
            {"name": "note", "data": "a"},
            {"name": "note", "data": "b"},
        ]
        places.extend(event.session_sequence for event in events)
        assert [event.session_sequence for event in events] == sorted(
            event.session_sequence for event in events
        )
        assert (await head_of(store, scene.request)).sequence == 30
    projection = await store.read_projection(scenes[0].session, ())
    assert projection is not None
    assert projection.head.sequence == 125
    assert len(set(places)) == 120
    assert set(places) <= set(range(1, 126))


async def check_sequences_of_two_handles_have_no_hole(harness: StoreHarness) -> None:
    """Sequences have no hole when two handles append to one log."""
    one, other = await harness.open(), await harness.open()
    scene = await open_scene(one)
    scenes = (scene, replace(scene, store=other))
    await asyncio.gather(*(scenes[number % 2].append(note(str(number))) for number in range(60)))
    for store in (one, other):
        events = await events_of(store, scene.request)
        assert [event.sequence for event in events] == list(range(1, 61))
        assert [event.session_sequence for event in events] == list(range(1, 61))


async def check_no_cursor_skips_while_others_write(harness: StoreHarness) -> None:
    """A reader that follows a log by cursor and wake-up gets every event once, in order."""
    store = await harness.open()
    scene = await open_scene(store)
    await _follow_while_writing(scene, scene)


async def check_no_cursor_skips_while_another_handle_writes(harness: StoreHarness) -> None:
    """The same for a reader whose writer is another handle."""
    reader, writer = await harness.open(), await harness.open()
    scene = await open_scene(writer)
    await _follow_while_writing(scene, replace(scene, store=reader))


async def _follow_while_writing(writer: Scene, reader: Scene) -> None:
    total = 150
    neighbour = await open_scene(writer.store, request_id="neighbour")

    async def write() -> None:
        for number in range(total // 3):
            await asyncio.gather(
                writer.append(note(str(number)), item_done(f"item-{number}")),
                writer.append(note()),
                neighbour.append(note()),
            )

    async def read() -> list[int]:
        seen: list[int] = []
        with reader.store.watch((Topic(TopicKind.REQUEST, *reader.request),)) as watch:
            while len(seen) < total:
                after = seen[-1] if seen else 0
                page = await reader.store.read_events(reader.request, after=after, limit=7, max_bytes=1 << 20)
                assert page is not None
                seen.extend(event.sequence for event in page.events)
                if not page.events:
                    await watch.wait()
        return seen

    async with asyncio.timeout(30):
        _, seen = await asyncio.gather(write(), read())
    assert seen == list(range(1, total + 1))


async def check_what_a_wake_up_tells_is_what_a_read_finds(harness: StoreHarness) -> None:
    """A page that a watch was told is the one that a read gives at its place."""
    store = await harness.open()
    scene = await open_scene(store)
    neighbour = await open_scene(store, request_id="neighbour")
    with (
        store.watch((Topic(TopicKind.REQUEST, *scene.request),), pages=True) as of_request,
        store.watch((Topic(TopicKind.SESSION, *scene.session),), pages=True) as of_session,
    ):
        logs: tuple[tuple[LogKey, Watch], ...] = ((scene.request, of_request), (scene.session, of_session))
        positions = dict.fromkeys((log for log, _ in logs), 0)
        for events in (
            (note("a", transient=True), item_done("item-1")),
            (Event(EventType.BLOCK_FAILED, b'{"failure":{}}', frozenset(), block_path=("a", "b.c", "")),),
            (),
        ):
            await asyncio.gather(
                scene.append(*events) if events else scene.finish(), neighbour.append(note("b"), note())
            )
            for log, watch in logs:
                positions[log] = await _told_as_read(store, log, watch, positions[log])
        assert positions == {scene.request: 4, scene.session: 10}


async def _told_as_read(store: Store, log: LogKey, watch: Watch, position: int) -> int:
    found = await store.read_events(log, after=position, limit=100, max_bytes=1 << 20)
    assert found is not None
    while (told := watch.next_page(found.head.log_id, position)) is not None:
        count = len(told.events)
        assert told.events == found.events[:count]
        assert told.end == position + count
        found = replace(found, events=found.events[count:])
        position = told.end
        if position == found.end:
            assert told.head == found.head
    return found.end


async def check_no_told_page_skips_what_another_handle_wrote(harness: StoreHarness) -> None:
    """A reader that takes what its watch was told, and else reads, gets every event once, in order, whoever writes."""
    one, other = await harness.open(), await harness.open()
    scene = await open_scene(one)
    both, total, seen = (scene, replace(scene, store=other)), 60, list[int]()

    async def write() -> None:
        for number in range(total // 4):
            await both[number % 2].append(note())
            await asyncio.gather(both[0].append(note()), both[1].append(note(), note()))

    async def read() -> None:
        log_id, position = "", 0
        with one.watch((Topic(TopicKind.REQUEST, *scene.request),), pages=True) as watch:
            while position < total:
                page = watch.next_page(log_id, position)
                if page is None:
                    page = await one.read_events(scene.request, after=position, limit=7, max_bytes=1 << 20)
                    assert page is not None
                log_id, position = page.head.log_id, page.end
                seen.extend(event.sequence for event in page.events)
                if page.end == page.head.sequence < total:
                    await watch.wait()

    async with asyncio.timeout(30):
        await asyncio.gather(write(), read())
    assert seen == list(range(1, total + 1))


async def check_page_limits(harness: StoreHarness) -> None:
    """A page of events ends at its limits, has at least one event, and says how far it is complete."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.append(
        *(note("x" * 100) for _ in range(5)), item_done("i", content=b'"%s"' % (b"y" * 1000)), note()
    )
    page = await store.read_events(scene.request, after=0, limit=3, max_bytes=1 << 20)
    assert page is not None
    assert [event.sequence for event in page.events] == [1, 2, 3]
    assert (page.end, page.head.sequence) == (3, 7)
    small = await store.read_events(scene.request, after=1, limit=100, max_bytes=300)
    assert small is not None
    assert 1 <= len(small.events) <= 3
    assert small.end == small.events[-1].sequence
    one = await store.read_events(scene.request, after=5, limit=100, max_bytes=1)
    assert one is not None
    assert [event.sequence for event in one.events] == [6]
    assert one.end == 6
    rest = await store.read_events(scene.request, after=6, limit=100, max_bytes=1 << 20)
    assert rest is not None
    assert ([event.sequence for event in rest.events], rest.end) == ([7], 7)
    none = await store.read_events(scene.request, after=7, limit=100, max_bytes=1 << 20)
    assert none is not None
    head = await head_of(store, scene.request)
    assert (none.events, none.end, none.head) == ((), 7, LogHead(head.log_id, 7, ended=False))


async def check_page_by_page_is_the_whole_log(harness: StoreHarness) -> None:
    """Pages of any size, one after the other, are the whole log."""
    store = await harness.open()
    scene = await open_scene(store)
    for number in range(23):
        await scene.append(note(str(number)), note("t", transient=True))
    for limit, max_bytes in ((1, 1 << 20), (4, 1 << 20), (1000, 1 << 20), (1000, 150), (5, 90)):
        seen: list[int] = []
        after = 0
        while True:
            page = await store.read_events(scene.request, after=after, limit=limit, max_bytes=max_bytes)
            assert page is not None
            seen.extend(event.sequence for event in page.events)
            after = page.end
            if after == page.head.sequence:
                break
        assert seen == list(range(1, 47)), (limit, max_bytes)


async def check_appending_needs_the_request_of_the_session(harness: StoreHarness) -> None:
    """Events go to a request of the named session or are refused."""
    store = await harness.open()
    scene = await open_scene(store)
    with refused(RequestNotFoundError, request_id="unknown"):
        await store.commit((AppendEvents(scene.session, (note(),), RequestKey(NO_TENANT, "unknown")),))
    await open_scene(store, "session-2", "request-2")
    with refused(RequestNotFoundError, request_id="request-1"):
        await store.commit((AppendEvents(SessionKey(NO_TENANT, "session-2"), (note(),), scene.request),))
    assert await events_of(store, scene.request) == []


async def check_require_run_by_someone_else(harness: StoreHarness) -> None:
    """A caller that writes on a run's behalf holds no lease."""
    store = await harness.open()
    scene = await open_scene(store)
    append = AppendEvents(scene.session, (note(),), scene.request)
    result = await store.commit((RequireRun(scene.request, None), append))
    assert [write.changed for write in result.results] == [False, True]
    await scene.finish()
    for process in (None, PROCESS):
        with refused(RequestTerminalError, request_id="request-1"):
            await store.commit((RequireRun(scene.request, process), append))
    with refused(RequestNotFoundError, request_id="unknown"):
        await store.commit((RequireRun(RequestKey(NO_TENANT, "unknown"), None),))


async def check_activity_time_moves_with_the_log(harness: StoreHarness) -> None:
    """A session's activity time is that of its newest event."""
    store = await harness.open()
    scene = await open_scene(store)
    times = []
    for _ in range(3):
        appended = await scene.append(note())
        projection = await store.read_projection(scene.session, ())
        assert projection is not None
        assert projection.head.activity_time == appended.time <= projection.time
        times.append(appended.time)
    assert times == sorted(times)
