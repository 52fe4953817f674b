"""What concurrent clients of a store are told is what one after another could have been told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from flowstate_server.errors import FlowStateError
from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import ScopeKey, org_scope, user_scope
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import Batch, PutIdempotencyKey
from flowstate_server.stores.store import Store
from flowstate_server.testing.history import (
    Entry,
    History,
    Outcome,
    RecordedStore,
    Recorder,
    check_log,
    check_tails,
    entries_of,
    require_history,
    require_none,
)
from flowstate_server.testing.store_contract.builders import Scene, note, open_scene
from tests.stores.adapters import ADAPTERS
from tests.support.histories import random_parts, writes_of

KEYS: Sequence[ScopeKey] = [
    *(user_scope(f"user {number}") for number in range(4)),
    *(org_scope(f"org {number}") for number in range(2)),
]
CLIENTS = 8
CALLS = 120
EVENTS = 100


@asynccontextmanager
async def handles(adapter: str, folder: Path) -> AsyncIterator[Sequence[Store]]:
    """As many handles on one set of data as the adapter allows, up to three."""
    async with ADAPTERS[adapter](folder) as harness:
        yield [await harness.open() for _ in range(3 if harness.shared else 1)]


class Client:
    """Calls stores at random, each time any of the handles."""

    def __init__(self, name: str, stores: Sequence[Store], *, impatient: bool = False) -> None:
        self.recorder = Recorder(name)
        self._name = name
        self._stores = [RecordedStore(store, self.recorder) for store in stores]
        self._chance = random.Random(name)
        self._impatient = impatient

    async def run(self) -> None:
        for number in range(CALLS):
            await self._call(f"{self._name} {number}")

    async def _call(self, name: str) -> None:
        parts = random_parts(self._chance, KEYS)
        writes = writes_of(parts)
        if not writes:
            await self._store.load_states(KEYS)
        elif self._chance.random() < 0.2:
            key = PutIdempotencyKey(IdempotencyKey(NO_TENANT, "p", "m", name), "print", Micros(60_000_000))
            repeats = [self._store.commit((key, *writes)) for _ in range(self._chance.randrange(1, 4))]
            await asyncio.gather(*repeats, return_exceptions=True)
        elif self._impatient and self._chance.random() < 0.3:
            await self._cancelled(tuple(writes))
        else:
            with suppress(FlowStateError):
                await self._store.commit(tuple(writes))

    async def _cancelled(self, batch: Batch) -> None:
        task = asyncio.ensure_future(self._store.commit(batch))
        for _ in range(self._chance.randrange(1, 9)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    @property
    def _store(self) -> RecordedStore:
        return self._chance.choice(self._stores)


async def _run(stores: Sequence[Store], clients: Sequence[Client]) -> History:
    await asyncio.gather(*(client.run() for client in clients))
    last = Recorder("last")
    for store in stores:
        await RecordedStore(store, last).load_states(KEYS)
    return History.merged([*(client.recorder.history for client in clients), last.history])


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_states_have_a_history(adapter: str, tmp_path: Path) -> None:
    async with handles(adapter, tmp_path) as stores:
        history = await _run(stores, [Client(f"client {number}", stores) for number in range(CLIENTS)])
    assert len(history.answered) > CLIENTS * CALLS / 2
    require_history(history)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_cancelled_calls_happened_or_not(adapter: str, tmp_path: Path) -> None:
    async with handles(adapter, tmp_path) as stores:
        clients = [Client(f"client {number}", stores, impatient=number < 2) for number in range(CLIENTS)]
        history = await _run(stores, clients)
    assert any(call.outcome is Outcome.UNKNOWN for call in history.calls)
    require_history(history)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_all_readers_of_a_log_see_the_same(adapter: str, tmp_path: Path) -> None:
    async with handles(adapter, tmp_path) as stores:
        scene = await open_scene(stores[0])
        scenes = [replace(scene, store=store) for store in stores]
        async with asyncio.timeout(40), asyncio.TaskGroup() as tasks:
            tails = [
                tasks.create_task(_tail(scenes[number % len(scenes)], after)) for number, after in _CURSORS
            ]
            await asyncio.gather(*(_append(scenes, number) for number in range(3)))
            await scene.finish()
        seen = [tail.result() for tail in tails]
    assert len(seen[0]) == 3 * EVENTS + 1
    require_none(check_tails(seen, name="the request's log", afters=[after for _, after in _CURSORS]))
    for tail, (_, after) in zip(seen, _CURSORS, strict=True):
        require_none(check_log(tail, after=after))


_CURSORS = list(enumerate((0, 0, 0, 7, 50, 100)))


async def _append(scenes: Sequence[Scene], writer: int) -> None:
    for number in range(EVENTS):
        await scenes[(writer + number) % len(scenes)].append(note(f"{writer} {number}"))


async def _tail(scene: Scene, after: int) -> list[Entry]:
    """Everything behind ``after``, as somebody gets it who reads when woken, up to the end of the request."""
    seen: list[Entry] = []
    with scene.store.watch((Topic(TopicKind.REQUEST, *scene.request),)) as watch:
        while True:
            page = await scene.store.read_events(scene.request, after=after, limit=9, max_bytes=1 << 20)
            assert page is not None
            seen += entries_of(page.events)
            if page.end < page.head.sequence:
                after = page.end
                continue
            if page.head.ended:
                return seen
            after = max(after, page.end)
            await watch.wait()
