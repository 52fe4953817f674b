"""Whose lease is whose: sweeps, renewals and what becomes of a process that was fenced."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from flowstate_server.engine.runs import sweeper
from flowstate_server.engine.runs.silences import Silences
from flowstate_server.errors import InternalError, LeaseLostError
from flowstate_server.model.clock import Micros, Seconds
from flowstate_server.model.events import EventType
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import RequestStatus, StateRecord
from flowstate_server.model.scopes import RequestKey, user_scope
from flowstate_server.stores.contract.writes import Batch, Changed, ChangeState, FenceProcess, RenewLease
from flowstate_server.testing.waiting import soon, until
from tests.support.fencing import ADA, SHORT, Server, end_orphans, server, silent_server
from tests.support.held_commits import HeldCommits, is_dispatch, is_fence, is_first_lease


async def test_a_sweep_does_not_end_a_run_whose_process_renewed_in_between(path: Path) -> None:
    async with silent_server(path) as (silent, renewal), server(path) as other:
        await silent.begin("r")
        fence = HeldCommits(other.store, is_fence)
        sweep = asyncio.create_task(end_orphans(other))
        await soon(fence.reached.wait())
        renewal.go()
        await soon(renewal.passed.wait())
        fence.go()
        await soon(sweep)
        silent.block.go.set()
        assert (await silent.ended("r")).head.status is RequestStatus.COMPLETED
        assert not silent.block.cancelled.is_set()


async def test_of_a_fence_and_a_renewal_at_the_same_moment_one_wins(path: Path) -> None:
    """Whichever comes first, and in one group or in two: never are both acknowledged, never neither."""
    won: dict[str, int] = {"fence": 0, "renewal": 0}
    async with server(path) as left, server(path) as right:
        for number in range(60):
            process = f"proc_{number}"
            await left.store.commit((RenewLease(process, Micros(1), start=True),))
            rows = {row.process: row for row in await left.store.read_processes()}
            renewal: Batch = (RenewLease(process, Micros(60_000_000)),)
            fence: Batch = (FenceProcess(process, rows[process].renew_time),)
            batches = [renewal, fence] if number % 2 else [fence, renewal]
            stores = [left.store, right.store if number % 3 else left.store]
            answers = await asyncio.gather(
                *(store.commit(batch) for store, batch in zip(stores, batches, strict=True)),
                return_exceptions=True,
            )
            refused = [isinstance(answer, LeaseLostError) for answer in answers]
            assert sorted(refused) == [False, True], answers
            fenced = {row.process: row.fenced for row in await right.store.read_processes()}[process]
            assert refused[batches.index(renewal)] == fenced
            won["fence" if fenced else "renewal"] += 1
    assert all(won.values()), won


async def test_what_one_sweep_has_fenced_another_goes_on_with(path: Path) -> None:
    async with silent_server(path) as (silent, _), server(path) as other:
        await silent.begin("r")
        rows = {row.process: row for row in await other.store.read_processes()}
        await other.store.commit((FenceProcess(silent.process, rows[silent.process].renew_time),))
        await other.engine.sweeper.end_orphans()
        assert (await other.ended("r")).head.status is RequestStatus.INTERRUPTED


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE sessions SET metadata = x'7b' WHERE session_id = 'damaged'",
        "UPDATE session_heads SET sequence = 0 WHERE log IN (SELECT log FROM sessions WHERE session_id = 'damaged')",
    ],
)
async def test_requests_that_cannot_be_ended_keep_no_other_from_its_end(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pages of them there are. Each is told once, not in every round."""
    monkeypatch.setattr(sweeper, "PAGE", 2)
    async with silent_server(path) as (silent, _):
        for number in range(5):
            await silent.dispatch(f"r{number}", session_id="damaged")
        await silent.dispatch("whole", session_id="whole")
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute(damage)
        async with server(path) as other:
            await soon(end_orphans(other))
            assert (await other.ended("whole")).head.status is RequestStatus.INTERRUPTED
            await soon(end_orphans(other))
    assert caplog.text.count("whose process is gone, can't be ended") == 5


async def test_two_sweeps_at_once_end_each_request_once(path: Path) -> None:
    async with silent_server(path) as (silent, _), server(path) as one, server(path) as two:
        for number in range(30):
            await silent.dispatch(f"r{number}")
        await soon(asyncio.gather(end_orphans(one), end_orphans(two)))
        for number in range(30):
            assert (await one.ended(f"r{number}")).head.status is RequestStatus.INTERRUPTED
            types = await two.event_types(f"r{number}")
            assert types.count(EventType.REQUEST_INTERRUPTED) == 1
            assert types[-1] is EventType.REQUEST_INTERRUPTED


@pytest.mark.parametrize("learns_by", ["renewal", "dispatch", "write"])
async def test_a_fenced_process_cancels_its_runs_and_serves_on_under_a_new_id(
    path: Path, learns_by: str
) -> None:
    async with silent_server(path) as (silent, renewal), server(path) as other:
        before = silent.process
        await silent.begin("r")
        await end_orphans(other)
        assert (await other.ended("r")).head.status is RequestStatus.INTERRUPTED
        if learns_by == "write":
            silent.block.go.set()
            await until(lambda: _without_run(silent, "r"))
        if learns_by != "dispatch":
            renewal.go()
            await until(lambda: _renamed(silent, before))
        await soon(silent.dispatch("r2", "answer"))
        assert silent.process != before
        if learns_by != "write":
            await soon(silent.block.cancelled.wait())
        assert (await silent.ended("r2")).head.status is RequestStatus.COMPLETED
        assert (await silent.ended("r")).head.status is RequestStatus.INTERRUPTED
        assert (await silent.event_types("r"))[-1] is EventType.REQUEST_INTERRUPTED
        (state,) = (await silent.store.load_states((await silent.ended("r")).scopes[:1])).values()
        assert state.version == 0


async def _without_run(server: Server, request_id: str) -> bool:
    return server.engine.supervisor.find(RequestKey(NO_TENANT, request_id)) is None


async def _renamed(server: Server, before: str) -> bool:
    return server.process != before


async def test_under_its_new_id_a_process_hears_of_cancels_by_others(path: Path) -> None:
    async with silent_server(path) as (silent, renewal), server(path) as other:
        before = silent.process
        await end_orphans(other)
        renewal.go()
        await until(lambda: _renamed(silent, before))
        await silent.begin("r")
        await other.engine.requests.cancel(ADA, "r", "enough")
        assert (await other.ended("r")).head.status is RequestStatus.ABORTED
        assert silent.block.cancelled.is_set()


async def test_a_run_that_is_just_being_started_when_its_process_is_fenced_is_cancelled_too(
    path: Path,
) -> None:
    async with silent_server(path) as (silent, renewal), server(path) as other:
        before = silent.process
        created = HeldCommits(silent.store, is_dispatch, after=True)
        dispatching = asyncio.create_task(silent.dispatch("r"))
        await soon(created.reached.wait())
        await end_orphans(other)
        taking = HeldCommits(silent.store, is_first_lease)
        renewal.go()
        await soon(taking.reached.wait())
        created.go()
        await soon(dispatching)
        await soon(silent.block.begun.wait())
        taking.go()
        await until(lambda: _renamed(silent, before))
        await soon(silent.block.cancelled.wait())
        assert (await other.event_types("r"))[-1] is EventType.REQUEST_INTERRUPTED


async def test_a_process_never_fences_itself(path: Path) -> None:
    """After an outage longer than its lease it may sweep before it renews."""
    async with silent_server(path) as (silent, renewal):
        before = silent.process
        await silent.begin("r")
        await silent.engine.sweeper.sweep()
        renewal.go()
        await soon(renewal.passed.wait())
        silent.block.go.set()
        assert (await silent.ended("r")).head.status is RequestStatus.COMPLETED
        assert silent.process == before


async def test_a_renewal_that_breaks_is_repeated(path: Path) -> None:
    async with server(path, SHORT) as shaky:
        renewal = shaky.store.renewal
        assert renewal is not None
        renew = renewal.renew
        broken = threading.Event()
        renewed = threading.Event()

        def break_once(process: str, lease: Micros) -> None:
            if not broken.is_set():
                broken.set()
                raise InternalError("err_1")
            renew(process, lease)
            renewed.set()

        renewal.renew = break_once  # type: ignore[method-assign]
        await until(renewed.is_set)


async def test_a_queue_of_writes_longer_than_a_lease_costs_no_lease(path: Path) -> None:
    """Renewals go ahead of it, while another server looks for dead processes all the time."""
    crowded = replace(SHORT, lease=Seconds(1.5))

    def slow(record: StateRecord) -> Changed:
        time.sleep(0.01)  # three seconds over all, two leases
        return Changed({}, b'{"count": %d}' % (record.version + 1))

    async with server(path, crowded) as busy, server(path) as other:
        before = busy.process
        await busy.begin("r")
        write: Batch = (ChangeState(user_scope("u"), slow),)
        began = time.monotonic()
        queue = asyncio.gather(*(busy.store.commit(write) for _ in range(300)))
        while not queue.done():
            await other.engine.sweeper.end_orphans()
            await asyncio.wait((queue,), timeout=0.05)
        assert time.monotonic() - began > 2 * crowded.lease
        busy.block.go.set()
        assert (await busy.ended("r")).head.status is RequestStatus.COMPLETED
        assert busy.process == before


async def test_a_request_whose_dispatch_is_under_way_at_the_close_ends_as_interrupted(path: Path) -> None:
    async with server(path) as other:
        async with server(path) as closing:
            created = HeldCommits(closing.store, is_dispatch, after=True)
            dispatching = asyncio.create_task(closing.dispatch("r"))
            await soon(created.reached.wait())
            close = asyncio.create_task(closing.engine.close())
            await until(lambda: closing.engine.supervisor._stopping)
            created.go()
            await soon(asyncio.gather(close, dispatching))
        assert (await other.ended("r")).head.status is RequestStatus.INTERRUPTED


async def test_a18_a_clock_that_steps_forward_ends_no_run_of_a_healthy_process(path: Path) -> None:
    async with server(path, SHORT) as healthy, server(path) as other:
        before = healthy.process
        await healthy.begin("r")
        other.store.backend.clock._lead += 3_600_000_000
        for _ in range(20):
            await other.engine.sweeper.end_orphans()
            await asyncio.sleep(0.02)  # far more often than it renews
        healthy.block.go.set()
        assert (await healthy.ended("r")).head.status is RequestStatus.COMPLETED
        assert healthy.process == before


async def test_a8_who_was_away_fences_nobody_for_a_lease(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the sweeper goes on while it is stopped, and with it all whose renewals it blocked."""
    async with silent_server(path) as (silent, renewal), server(path, SHORT) as stopped:
        await silent.begin("r")
        ahead = 0.0
        monkeypatch.setattr(
            stopped.engine.sweeper, "_silences", Silences(SHORT.lease, lambda: time.monotonic() + ahead)
        )
        await stopped.engine.sweeper.end_orphans()
        ahead += 7.0
        await stopped.engine.sweeper.end_orphans()
        renewal.go()
        await soon(renewal.passed.wait())
        await stopped.engine.sweeper.end_orphans()
        silent.block.go.set()
        assert (await silent.ended("r")).head.status is RequestStatus.COMPLETED
