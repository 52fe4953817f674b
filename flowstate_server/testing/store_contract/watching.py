"""Wake-ups: never absent, after the commit is visible, latched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import RequestKey, SessionKey, org_scope, session_scope, user_scope
from flowstate_server.stores.contract.watch import Topic, TopicKind, Watch
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    DeleteState,
    FenceProcess,
    RenewLease,
    RequestCancel,
    UpdateSession,
    Write,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    PROCESS,
    Scene,
    events_of,
    finish,
    increment,
    new_request,
    new_session,
    note,
    open_scene,
    put,
    state_of,
)
from flowstate_server.testing.store_contract.harness import StoreHarness

REQUEST = Topic(TopicKind.REQUEST, NO_TENANT, "request-1")
SESSION = Topic(TopicKind.SESSION, NO_TENANT, "session-1")
USER = Topic(TopicKind.USER, NO_TENANT, "ada")
ORG = Topic(TopicKind.ORG, NO_TENANT, "acme")
OWNER = Topic(TopicKind.PROCESS, NO_TENANT, PROCESS)
GRACE = 5.0


async def woken(store: Store, watch: Watch) -> None:
    async with asyncio.timeout(store.max_wake_delay + GRACE):
        await watch.wait()


@contextmanager
def each_watched(store: Store, *topics: Topic) -> Iterator[list[Watch]]:
    watches = [store.watch((topic,)) for topic in topics]
    try:
        yield watches
    finally:
        for watch in watches:
            watch.close()


async def check_commit_wakes_what_it_changes(harness: StoreHarness) -> None:
    """Every kind of commit wakes the watches of each topic that it changes."""
    store = await harness.open()
    await _wakes(store, store)


async def check_commit_of_another_handle_wakes(harness: StoreHarness) -> None:
    """The same for the watches of another handle, within max_wake_delay."""
    writer, watcher = await harness.open(), await harness.open()
    await _wakes(writer, watcher)


async def _wakes(writer: Store, watcher: Store) -> None:
    session, request = SessionKey(NO_TENANT, "session-1"), RequestKey(NO_TENANT, "request-1")
    await writer.commit((RenewLease(PROCESS, Micros(0), start=True),))
    [row] = await writer.read_processes()
    steps: list[tuple[tuple[Write, ...], tuple[Topic, ...]]] = [
        ((new_session(), new_request(session)), (SESSION, REQUEST)),
        ((AppendEvents(session, (note(),), request),), (SESSION, REQUEST)),
        ((AppendEvents(session, (note(),)),), (SESSION,)),
        ((UpdateSession(session, {"title": "t"}),), (SESSION,)),
        ((put(session_scope(session), {"a": 1}),), (SESSION,)),
        ((increment(user_scope("ada")), increment(org_scope("acme"))), (USER, ORG)),
        ((increment(user_scope("ada", isolated_flow="chat")),), (USER,)),
        ((DeleteState(user_scope("ada")),), (USER,)),
        ((RequestCancel(request, "why"),), (REQUEST, OWNER)),
        ((FenceProcess(PROCESS, row.renew_time),), (OWNER,)),
        ((finish(request, swept=PROCESS),), (SESSION, REQUEST)),
    ]
    for batch, topics in steps:
        with each_watched(watcher, *topics) as watches:
            await writer.commit(batch)
            for watch in watches:
                await woken(watcher, watch)


async def check_wake_comes_after_the_commit_is_visible(harness: StoreHarness) -> None:
    """A reader that reads once for each wake-up sees every commit."""
    store = await harness.open()
    scene = await open_scene(store)
    await _visible_when_woken(scene, store)


async def check_wake_by_another_handle_comes_after_the_commit_is_visible(harness: StoreHarness) -> None:
    """The same for a reader at another handle."""
    writer, watcher = await harness.open(), await harness.open()
    scene = await open_scene(writer)
    await _visible_when_woken(scene, watcher)


async def _visible_when_woken(scene: Scene, watcher: Store) -> None:
    """A reader that reads only when woken, once, sees each commit in the end."""
    total = 20

    async def read() -> None:
        with watcher.watch((REQUEST,)) as watch:
            opened.set()
            seen = 0
            while seen < total:
                await woken(watcher, watch)
                seen = len(await events_of(watcher, scene.request))
                progress.set()

    opened, progress = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        await opened.wait()
        for number in range(total):
            progress.clear()
            await scene.append(note(str(number)))
            if number % 2:
                await progress.wait()


async def check_wake_is_latched(harness: StoreHarness) -> None:
    """A wake-up that comes while nobody waits is there for the next wait."""
    store = await harness.open()
    scene = await open_scene(store)
    with store.watch((REQUEST,)) as watch:
        await scene.append(note())
        await scene.append(note())
        await woken(store, watch)
    await scene.append(note())


async def check_one_watch_of_several_topics(harness: StoreHarness) -> None:
    """One watch may have several topics and wakes for each of them."""
    store = await harness.open()
    scene = await open_scene(store)
    with store.watch((ORG, USER, SESSION, USER)) as watch:
        await store.commit((increment(user_scope("ada")),))
        await woken(store, watch)
        assert (await state_of(store, user_scope("ada"))).version == 1
        await scene.append(note())
        await woken(store, watch)


async def check_every_watch_of_a_topic_wakes(harness: StoreHarness) -> None:
    """A commit wakes every open watch of its topic."""
    store = await harness.open()
    scene = await open_scene(store)
    with each_watched(store, *([REQUEST] * 20)) as watches:
        watches.pop().close()
        await scene.append(note())
        for watch in watches:
            await woken(store, watch)


async def check_closed_watch_is_forgotten(harness: StoreHarness) -> None:
    """A closed watch is no burden to later commits; closing twice is fine."""
    store = await harness.open()
    scene = await open_scene(store)
    watch = store.watch((REQUEST, SESSION))
    watch.close()
    watch.close()
    await scene.append(note())
