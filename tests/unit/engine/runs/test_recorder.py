"""What a run emits: in order, in few commits, apart from the writes it precedes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import InternalError, LeaseLostError, RequestTerminalError, StoreUnavailableError
from flowstate_server.model.clock import Micros, Seconds
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.json_values import decode_json
from flowstate_server.model.records import RequestHead, RequestStatus
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.writes import CommitResult, PartlyCommitted, WriteResult
from flowstate_server.testing.waiting import soon
from tests.support.commit_log import CLIENT, GUARD, WRITE, CommitLog, event, names_of, recorder

PATIENT = EngineSettings(flush_after=Seconds(3600))
HEAD = RequestHead(
    RequestKey(NO_TENANT, "r"),
    SessionKey(NO_TENANT, "s"),
    session_log_id="l",
    log_id="m",
    user_id="u",
    fingerprint="f",
    process="p",
    status=RequestStatus.IN_PROGRESS,
    create_time=Micros(1),
)


async def test_what_is_held_goes_ahead_of_the_next_write() -> None:
    log = CommitLog()
    run = recorder(log, PATIENT)
    run.hold(event("1"))
    run.hold(event("2"))
    await run.write(WRITE)
    await run.write(WRITE)
    assert names_of(log.attempts) == [["1", "2", "|", "write"], ["write"]]
    assert all(batch[0] == GUARD for batch in log.attempts)


async def test_no_write_overtakes_what_another_has_ahead() -> None:
    log = CommitLog()
    run = recorder(log, PATIENT)
    run.hold(event("1"))
    await asyncio.gather(run.write(WRITE), run.write(WRITE))
    assert names_of(log.attempts) == [["1", "|", "write"], ["write"]]


async def test_a_refused_write_takes_no_event_with_it() -> None:
    log = CommitLog()
    told = CommitResult((WriteResult(), WriteResult(head=replace(HEAD, sequence=7))), Micros(1))
    log.failures = [PartlyCommitted(told, InternalError("refused"))]
    run = recorder(log, PATIENT)
    run.hold(event("1"))
    with pytest.raises(InternalError):
        await run.write(WRITE)
    assert run.sequence == 7
    await run.write(WRITE)
    assert names_of(log.attempts) == [["1", "|", "write"], ["write"]]


async def test_a_write_that_fails_and_is_not_refused_takes_no_event_with_it() -> None:
    log = CommitLog()
    log.failures = [InternalError("first"), None, InternalError("second")]
    run = recorder(log, PATIENT)
    run.hold(event("1"))
    with pytest.raises(InternalError, match="second"):
        await run.write(WRITE)
    assert names_of(log.attempts) == [["1", "|", "write"], ["1"], ["write"]]
    assert log.names == ["1"]


async def test_events_that_are_refused_take_no_write_with_them() -> None:
    log = CommitLog()
    log.failures = [InternalError("first"), InternalError("second")]
    run = recorder(log, PATIENT)
    run.hold(event("1"))
    await run.write(WRITE)
    assert log.names == ["write"]


async def test_what_is_held_outlives_the_write_that_takes_it_along() -> None:
    """A block that is cancelled while its write is under way loses nothing that it has emitted before."""
    log = CommitLog()
    log.through.clear()
    run = recorder(log, PATIENT)
    run.hold(event("1"))
    writing = asyncio.create_task(run.write(WRITE))
    await soon(log.asked.acquire())
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    log.failures = [StoreUnavailableError()]
    log.through.set()
    assert [kept.payload for kept in await soon(run.last())] == [b"1"]


async def test_alone_it_flushes_after_a_while() -> None:
    log = CommitLog()
    run = recorder(log, EngineSettings(flush_after=Seconds(0.001)))
    run.hold(event("1"))
    assert log.attempts == []
    await soon(log.asked.acquire())
    assert names_of(log.attempts) == [["1"]]


async def test_alone_it_flushes_at_so_many_events() -> None:
    log = CommitLog()
    run = recorder(log, replace(PATIENT, flush_events=3))
    for name in "123":
        run.hold(event(name))
    await soon(log.asked.acquire())
    assert names_of(log.attempts) == [["1", "2", "3"]]


async def test_adjacent_deltas_of_one_item_become_one_event() -> None:
    log = CommitLog()
    run = recorder(log, PATIENT)
    for index, (item, text) in enumerate([("a", "x"), ("a", "y"), ("b", "z"), ("a", "w")]):
        run.hold_delta(item, index, text, CLIENT, ())
    await run.write(WRITE)
    written = [decode_json(name) for name in names_of(log.attempts)[0][:-2]]
    assert written == [
        {"item_id": "a", "index": 0, "text": "xy"},
        {"item_id": "b", "index": 2, "text": "z"},
        {"item_id": "a", "index": 3, "text": "w"},
    ]


async def test_events_the_store_could_not_take_are_held_again() -> None:
    log = CommitLog()
    log.failures = [StoreUnavailableError()]
    run = recorder(log, PATIENT)
    run.hold(event("1"))
    await run.flush()
    run.hold(event("2"))
    await run.write(WRITE)
    assert names_of(log.attempts) == [["1"], ["1", "2", "|", "write"]]


async def test_emitting_waits_for_the_store_when_much_is_held() -> None:
    log = CommitLog()
    run = recorder(log, replace(PATIENT, flush_events=1000, max_held_events=2))
    run.hold(event("1"))
    await run.room()
    assert log.attempts == []
    run.hold(event("2"))
    await run.room()
    assert names_of(log.attempts) == [["1", "2"]]


async def test_after_its_end_nothing_is_written() -> None:
    log = CommitLog()
    run = recorder(log, EngineSettings(flush_events=1))
    run.hold(event("1"))
    assert [kept.type for kept in run.close()] == [event("1").type]
    with pytest.raises(RequestTerminalError):
        run.hold(event("2"))
    with pytest.raises(RequestTerminalError):
        run.hold_delta("item", 0, "text", CLIENT, ())
    await run.room()
    await run.settle()
    assert log.attempts == []


async def test_f16_who_waits_for_the_store_learns_that_the_run_has_ended() -> None:
    log = CommitLog()
    log.failures = [StoreUnavailableError()] * 1000
    run = recorder(log, PATIENT)
    writing = asyncio.create_task(run.write(WRITE))
    await soon(log.asked.acquire())
    run.close()
    with pytest.raises(RequestTerminalError):
        await soon(writing)


async def test_a_lost_lease_is_the_next_writes_business() -> None:
    log = CommitLog()
    log.failures = [LeaseLostError(), LeaseLostError()]
    run = recorder(log, PATIENT)
    run.hold(event("1"))
    await run.flush()
    with pytest.raises(LeaseLostError):
        await run.write(WRITE)
