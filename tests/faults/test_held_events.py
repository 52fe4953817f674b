"""What a run has emitted while the store is slow or away: nothing is lost, nothing is overtaken, nobody is hurried."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import decode_json
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    Batch,
    CommitResult,
    RequestCancel,
    WriteResult,
)
from flowstate_server.stores.memory import MemoryStore
from tests.support.waiting import soon, until

REQUEST = RequestKey("", "r")
WRITE = RequestCancel(REQUEST, "a write")
CLIENT = frozenset((Audience.CLIENT,))
QUICK = EngineSettings(flush_after=0.001)


class SlowStore(MemoryStore):
    """Takes down what is committed: the names of events, or "write". Each commit waits until it is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Semaphore(0)
        self.attempts: list[float] = []
        self.away = False
        self.without_room = 0
        """So many commits fail."""
        self.letting = asyncio.Event()
        self.committed: list[str] = []

    async def commit(self, batch: Batch) -> CommitResult:
        self.attempts.append(asyncio.get_running_loop().time())
        self.asked.release()
        await self.letting.wait()
        if self.away or self.without_room:
            self.without_room = max(0, self.without_room - 1)
            raise StoreUnavailableError
        for write in batch[1:]:
            if isinstance(write, AppendEvents):
                self.committed += [event.payload.decode() for event in write.events]
            else:
                self.committed.append("write")
        return CommitResult(tuple(WriteResult() for _ in batch), 1)


def recorder(store: SlowStore, settings: EngineSettings = QUICK) -> Recorder:
    return Recorder(store, REQUEST, SessionKey("", "s"), "process", settings)


def event(name: str) -> Event:
    return Event(EventType.CUSTOM, name.encode(), CLIENT)


async def time_to_flush() -> None:
    """What was held before would be flushed now, if the flush before it had ended: its timer is due before this one."""
    await asyncio.sleep(2 * QUICK.flush_after)


async def test_what_is_emitted_during_a_slow_flush_is_flushed_after_it() -> None:
    store = SlowStore()
    run = recorder(store)
    run.hold(event("1"))
    await store.asked.acquire()
    run.hold(event("2"))
    await time_to_flush()
    store.letting.set()
    await until(lambda: store.committed == ["1", "2"])
    run.hold(event("3"))
    await until(lambda: store.committed == ["1", "2", "3"])


async def test_deltas_of_one_item_go_on_flowing_after_a_slow_flush() -> None:
    store = SlowStore()
    run = recorder(store)
    run.hold(event("1"))
    await store.asked.acquire()
    run.hold_delta("item", 0, "a", CLIENT, ())
    await time_to_flush()
    store.letting.set()
    run.hold_delta("item", 1, "b", CLIENT, ())
    await until(lambda: len(store.committed) >= 2)
    run.hold_delta("item", 2, "c", CLIENT, ())
    await until(lambda: len(store.committed) >= 3)
    assert store.committed[0] == "1"
    assert [decode_json(delta) for delta in store.committed[1:]] == [
        {"item_id": "item", "index": 0, "text": "ab"},
        {"item_id": "item", "index": 2, "text": "c"},
    ]


async def test_a_write_does_not_overtake_what_was_emitted_before_it() -> None:
    """The flush finds no room, the smaller write behind it would: it waits for the events to be held again."""
    store = SlowStore()
    run = recorder(store, replace(QUICK, flush_events=2))
    run.hold(event("1"))
    run.hold(event("2"))
    await store.asked.acquire()
    written = asyncio.create_task(run.commit(WRITE))
    await asyncio.sleep(0)
    store.without_room = 1
    store.letting.set()
    await written
    assert store.committed == ["1", "2", "write"]


async def test_many_held_events_are_flushed_by_themselves_once_the_store_is_back() -> None:
    store = SlowStore()
    store.letting.set()
    store.away = True
    run = recorder(store, replace(QUICK, flush_events=1))
    names = [str(number) for number in range(10)]
    for name in names:
        run.hold(event(name))
    await store.asked.acquire()
    await asyncio.sleep(0)
    store.away = False
    await until(lambda: store.committed == names)


async def test_a_store_that_is_away_is_asked_ever_more_rarely() -> None:
    store = SlowStore()
    store.letting.set()
    store.away = True
    run = recorder(store, replace(QUICK, flush_events=2, max_held_events=4))
    for number in range(4):
        run.hold(event(str(number)))
    waiting = asyncio.create_task(run.room())
    await until(lambda: len(store.attempts) >= 8)
    assert not waiting.done()
    pauses = [later - earlier for earlier, later in pairwise(store.attempts)]
    for number, pause in enumerate(pauses):
        assert pause > 0.9 * QUICK.flush_after * 2**number, pauses
    store.away = False
    await soon(waiting)
    assert store.committed == ["0", "1", "2", "3"]


async def test_the_end_of_a_run_ends_the_wait_for_room() -> None:
    store = SlowStore()
    store.letting.set()
    store.away = True
    run = recorder(store, replace(QUICK, max_held_events=1))
    run.hold(event("1"))
    waiting = asyncio.create_task(run.room())
    await store.asked.acquire()
    run.close()
    await soon(waiting)
    assert store.committed == []
