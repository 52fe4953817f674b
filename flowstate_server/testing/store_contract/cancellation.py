"""Cancelled callers: their batch is whole or absent, the store goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from flowstate_server.model.clock import Micros
from flowstate_server.model.scopes import org_scope, user_scope
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import AppendEvents
from flowstate_server.testing.store_contract.builders import (
    events_of,
    increment,
    note,
    number,
    open_scene,
    state_of,
)
from flowstate_server.testing.store_contract.harness import StoreHarness

ADA, ACME = user_scope("ada"), org_scope("acme")
LONGEST = 100_000


async def cancelled_ever_later(call: Callable[[], Awaitable[object]]) -> AsyncIterator[bool]:
    """Cancels the call after ever more turns of the loop, until one is done before. Gives whether it was cancelled."""
    turns = 0
    while turns < LONGEST:
        task = asyncio.ensure_future(call())
        for _ in range(turns):
            if task.done():
                break
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        yield task.cancelled()
        if not task.cancelled():
            return
        turns += 1 + turns // 4
    raise AssertionError("the call was never done")


async def check_cancelled_batch_is_whole_or_absent(harness: StoreHarness) -> None:
    """A commit whose caller is cancelled at any moment has written all of its batch or nothing."""
    store = await harness.open()
    scene = await open_scene(store)
    batch = (increment(ADA), AppendEvents(scene.session, (note(),), scene.request), increment(ACME))
    attempts = acknowledged = 0
    async for cancelled in cancelled_ever_later(lambda: store.commit(batch)):
        attempts += 1
        acknowledged += not cancelled
        # Commits are in order: once this one is answered, the cancelled one is decided.
        await store.commit((increment(user_scope("bob")),))
        states = await store.load_states((ADA, ACME))
        count = number(states[ADA])
        assert count == number(states[ACME]) == len(await events_of(store, scene.request))
        assert acknowledged <= count <= attempts
    assert (await state_of(store, user_scope("bob"))).version == attempts


async def check_cancelled_caller_leaves_its_neighbours(harness: StoreHarness) -> None:
    """Batches of the same group are committed although some of their neighbours' callers are cancelled."""
    store = await harness.open()
    for turns in range(12):
        tasks = [asyncio.create_task(store.commit((increment(ADA), increment(ACME)))) for _ in range(9)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for position, answer in enumerate(answers):
            cancelled = isinstance(answer, asyncio.CancelledError)
            assert cancelled <= (position % 3 == 0)
            assert cancelled or not isinstance(answer, BaseException), answer
    await store.commit((increment(user_scope("bob")),))
    states = await store.load_states((ADA, ACME))
    assert number(states[ADA]) == number(states[ACME])
    assert 12 * 6 <= number(states[ADA]) <= 12 * 9


async def check_cancelled_reads_leave_the_store_usable(harness: StoreHarness) -> None:
    """A read or sweep that is cancelled at any moment blocks no later call."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.append(*(note(str(name)) for name in range(50)))
    reads: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: store.load_states((ADA, ACME)),
        lambda: store.read_projection(scene.session, (ADA,)),
        lambda: store.read_events(scene.request, after=0, limit=100, max_bytes=1 << 20),
        lambda: store.read_turns(scene.session, "log-session-1", newest=5),
        lambda: store.sweep_transient_events(retention=Micros(0), limit=10),
    )
    for read in reads:
        async for _ in cancelled_ever_later(read):
            await store.commit((increment(ADA),))
    assert len(await events_of(store, scene.request)) == 50


async def check_watch_outlives_a_cancelled_wait(harness: StoreHarness) -> None:
    """A watch whose wait was cancelled still wakes."""
    store = await harness.open()
    scene = await open_scene(store)
    with store.watch((Topic(TopicKind.REQUEST, *scene.request),)) as watch:
        waiting = asyncio.create_task(watch.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))
        await scene.append(note())
        async with asyncio.timeout(10):
            await watch.wait()
