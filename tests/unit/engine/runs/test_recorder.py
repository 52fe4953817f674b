"""What a run emits: in order, in few commits, apart from the writes it precedes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import InternalError, LeaseLostError, StoreUnavailableError
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import decode_json
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    Batch,
    CommitResult,
    RequestCancel,
    RequireRun,
    WriteResult,
)
from flowstate_server.stores.memory.store import MemoryStore

REQUEST = RequestKey("", "r")
WRITE = RequestCancel(REQUEST, "a write")
CLIENT = frozenset((Audience.CLIENT,))
PATIENT = EngineSettings(flush_after=3600)


class Log(MemoryStore):
    """Takes batches down instead of committing them; ``failures`` are raised first, one a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []
        self.failures: list[Exception | None] = []
        self.committed = asyncio.Event()

    async def commit(self, batch: Batch) -> CommitResult:
        self.batches.append(batch)
        self.committed.set()
        await asyncio.sleep(0)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return CommitResult(tuple(WriteResult() for _ in batch), 1)

    def names(self) -> list[list[str]]:
        """What each batch holds: the names of its events, and "write" for a write."""
        return [[name for write in batch for name in _names(write)] for batch in self.batches]


def _names(write: object) -> list[str]:
    if isinstance(write, RequireRun):
        return []
    if isinstance(write, AppendEvents):
        return [event.payload.decode() for event in write.events]
    return ["write"]


def recorder(log: Log, settings: EngineSettings = PATIENT) -> Recorder:
    return Recorder(log, REQUEST, SessionKey("", "s"), "process", settings)


def event(name: str) -> Event:
    return Event(EventType.CUSTOM, name.encode(), CLIENT)


async def test_what_is_held_goes_ahead_of_the_next_write_in_a_batch_of_its_own() -> None:
    log = Log()
    run = recorder(log)
    run.hold(event("1"))
    run.hold(event("2"))
    await run.commit(WRITE)
    assert log.names() == [["1", "2"], ["write"]]
    assert all(batch[0] == RequireRun(REQUEST, "process") for batch in log.batches)


async def test_no_write_overtakes_what_another_has_ahead() -> None:
    log = Log()
    run = recorder(log)
    run.hold(event("1"))
    await asyncio.gather(run.commit(WRITE), run.commit(WRITE))
    assert log.names() == [["1"], ["write"], ["write"]]


async def test_a_refused_write_takes_no_event_with_it() -> None:
    log = Log()
    log.failures = [None, InternalError("refused")]
    run = recorder(log)
    run.hold(event("1"))
    with pytest.raises(InternalError):
        await run.commit(WRITE)
    await run.commit(WRITE)
    assert log.names() == [["1"], ["write"], ["write"]]


async def test_alone_it_flushes_after_a_while() -> None:
    log = Log()
    run = recorder(log, EngineSettings(flush_after=0.001))
    run.hold(event("1"))
    assert log.batches == []
    async with asyncio.timeout(5):
        await log.committed.wait()
    assert log.names() == [["1"]]


async def test_alone_it_flushes_at_so_many_events() -> None:
    log = Log()
    run = recorder(log, replace(PATIENT, flush_events=3))
    for name in "123":
        run.hold(event(name))
    async with asyncio.timeout(5):
        await log.committed.wait()
    assert log.names() == [["1", "2", "3"]]


async def test_adjacent_deltas_of_one_item_become_one_event() -> None:
    log = Log()
    run = recorder(log)
    for index, (item, text) in enumerate([("a", "x"), ("a", "y"), ("b", "z"), ("a", "w")]):
        run.hold_delta(item, index, text, CLIENT, ())
    await run.commit(WRITE)
    written = [decode_json(name) for name in log.names()[0]]
    assert written == [
        {"item_id": "a", "index": 0, "text": "xy"},
        {"item_id": "b", "index": 2, "text": "z"},
        {"item_id": "a", "index": 3, "text": "w"},
    ]


async def test_events_the_store_could_not_take_are_held_again() -> None:
    log = Log()
    log.failures = [StoreUnavailableError()]
    run = recorder(log)
    run.hold(event("1"))
    await run.flush()
    run.hold(event("2"))
    await run.commit(WRITE)
    assert log.names() == [["1"], ["1", "2"], ["write"]]


async def test_emitting_waits_for_the_store_when_much_is_held() -> None:
    log = Log()
    run = recorder(log, replace(PATIENT, flush_events=1000, max_held_events=2))
    run.hold(event("1"))
    await run.room()
    assert log.batches == []
    run.hold(event("2"))
    await run.room()
    assert log.names() == [["1", "2"]]


async def test_after_its_end_nothing_is_written() -> None:
    log = Log()
    run = recorder(log, EngineSettings(flush_events=1))
    run.close()
    run.hold(event("1"))
    await run.room()
    await run.settle()
    assert log.batches == []


async def test_a_lost_lease_is_the_next_writes_business() -> None:
    log = Log()
    log.failures = [LeaseLostError(), LeaseLostError()]
    run = recorder(log)
    run.hold(event("1"))
    await run.flush()
    with pytest.raises(LeaseLostError):
        await run.commit(WRITE)
