"""What a run has emitted while the store is slow or away: nothing is lost, nothing is overtaken, nobody is hurried."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.clock import Seconds
from flowstate_server.model.json_values import decode_json
from flowstate_server.testing.waiting import soon, until
from tests.support.commit_log import CLIENT, WRITE, CommitLog, event, recorder

QUICK = EngineSettings(flush_after=Seconds(0.001))


def slow_log() -> CommitLog:
    """One that lets nothing through yet."""
    log = CommitLog()
    log.through.clear()
    return log


async def time_to_flush() -> None:
    """What was held before would be flushed now, if the flush before it had ended: its timer is due before this one."""
    await asyncio.sleep(2 * QUICK.flush_after)


async def test_what_is_emitted_during_a_slow_flush_is_flushed_after_it() -> None:
    log = slow_log()
    run = recorder(log, QUICK)
    run.hold(event("1"))
    await log.asked.acquire()
    run.hold(event("2"))
    await time_to_flush()
    log.through.set()
    await until(lambda: log.names == ["1", "2"])
    run.hold(event("3"))
    await until(lambda: log.names == ["1", "2", "3"])


async def test_deltas_of_one_item_go_on_flowing_after_a_slow_flush() -> None:
    log = slow_log()
    run = recorder(log, QUICK)
    run.hold(event("1"))
    await log.asked.acquire()
    run.hold_delta("item", 0, "a", CLIENT, ())
    await time_to_flush()
    log.through.set()
    run.hold_delta("item", 1, "b", CLIENT, ())
    await until(lambda: len(log.names) >= 2)
    run.hold_delta("item", 2, "c", CLIENT, ())
    await until(lambda: len(log.names) >= 3)
    assert log.names[0] == "1"
    assert [decode_json(delta) for delta in log.names[1:]] == [
        {"item_id": "item", "index": 0, "text": "ab"},
        {"item_id": "item", "index": 2, "text": "c"},
    ]


async def test_a_write_does_not_overtake_what_was_emitted_before_it() -> None:
    """The flush finds no room, the smaller write behind it would: it waits for the events to be held again."""
    log = slow_log()
    run = recorder(log, replace(QUICK, flush_events=2))
    run.hold(event("1"))
    run.hold(event("2"))
    await log.asked.acquire()
    written = asyncio.create_task(run.write(WRITE))
    await asyncio.sleep(0)
    log.failures = [StoreUnavailableError()]
    log.through.set()
    await written
    assert log.names == ["1", "2", "write"]


async def test_many_held_events_are_flushed_by_themselves_once_the_store_is_back() -> None:
    log = CommitLog()
    log.away = True
    run = recorder(log, replace(QUICK, flush_events=1))
    names = [str(number) for number in range(10)]
    for name in names:
        run.hold(event(name))
    await log.asked.acquire()
    await asyncio.sleep(0)
    log.away = False
    await until(lambda: log.names == names)


async def test_a_store_that_is_away_is_asked_ever_more_rarely() -> None:
    log = CommitLog()
    log.away = True
    run = recorder(log, replace(QUICK, flush_events=2, max_held_events=4))
    for number in range(4):
        run.hold(event(str(number)))
    waiting = asyncio.create_task(run.room())
    await until(lambda: len(log.times) >= 8)
    assert not waiting.done()
    pauses = [later - earlier for earlier, later in pairwise(log.times)]
    for number, pause in enumerate(pauses):
        assert pause > 0.9 * QUICK.flush_after * 2**number, pauses
    log.away = False
    await soon(waiting)
    assert log.names == ["0", "1", "2", "3"]


async def test_the_end_of_a_run_ends_the_wait_for_room() -> None:
    log = CommitLog()
    log.away = True
    run = recorder(log, replace(QUICK, max_held_events=1))
    run.hold(event("1"))
    waiting = asyncio.create_task(run.room())
    await log.asked.acquire()
    run.close()
    await soon(waiting)
    assert log.names == []


async def test_events_that_are_with_the_store_take_room_too() -> None:
    """Or a run would go on emitting at each attempt to reach a store that is away."""
    log = slow_log()
    run = recorder(log, replace(QUICK, max_held_events=2))
    run.hold(event("1"))
    run.hold(event("2"))
    waiting = asyncio.create_task(run.room())
    await log.asked.acquire()
    await asyncio.sleep(0)
    assert not waiting.done()
    also_waiting = asyncio.create_task(run.room())
    await time_to_flush()
    assert not also_waiting.done()
    log.through.set()
    await soon(asyncio.gather(waiting, also_waiting))
    assert log.names == ["1", "2"]


async def test_events_ahead_of_a_write_take_room_too() -> None:
    log = slow_log()
    run = recorder(log, replace(QUICK, max_held_events=1))
    run.hold(event("1"))
    written = asyncio.create_task(run.write(WRITE))
    await log.asked.acquire()
    waiting = asyncio.create_task(run.room())
    await time_to_flush()
    assert not waiting.done()
    log.through.set()
    await soon(asyncio.gather(written, waiting))
    assert log.names == ["1", "write"]
