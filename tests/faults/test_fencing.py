"""Whose lease is whose: sweeps, renewals and what becomes of a process that was fenced."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from flowstate_server.app import create_flowstate
from flowstate_server.engine.calls.runs import ActionCall
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.runs import sweeper
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import InternalError, LeaseLostError
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.model.clock import Micros, Seconds
from flowstate_server.model.events import EventType
from flowstate_server.model.identity import NO_TENANT, Principal
from flowstate_server.model.records import RequestRecord, RequestStatus, StateRecord
from flowstate_server.model.scopes import RequestKey, user_scope
from flowstate_server.stores.contract.writes import (
    Batch,
    Changed,
    ChangeState,
    CommitResult,
    FenceProcess,
    RenewLease,
)
from flowstate_server.stores.sqlite import SqliteStore
from flowstate_server.testing.waiting import PATIENCE, soon, until
from tests.support.held_commits import (
    HeldCommits,
    is_dispatch,
    is_fence,
    is_first_lease,
    is_renewal,
    replace_commit,
)

SHORT = EngineSettings(lease=Seconds(0.3), cancel_grace=Seconds(0.5))
LONG = EngineSettings(lease=Seconds(60.0), cancel_grace=Seconds(0.5))
ADA = Principal(tenant=NO_TENANT, user="ada")


class Counted(BaseModel):
    count: int = 0


@dataclass
class Block:
    """What the one run that waits has seen, and when it goes on."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Server:
    engine: Engine
    store: SqliteStore
    block: Block

    @property
    def process(self) -> str:
        return self.engine.instance_id

    async def dispatch(self, request_id: str, action: str = "wait", session_id: str = "s") -> None:
        call = ActionCall("held", action, session_id=session_id, request_id=request_id)
        await self.engine.dispatcher.dispatch(ADA, call)

    async def begin(self, request_id: str) -> None:
        """Dispatch a run that waits, and wait until it does."""
        await self.dispatch(request_id)
        await soon(self.block.begun.wait())

    async def ended(self, request_id: str) -> RequestRecord:
        waited = await self.engine.requests.wait(ADA, request_id, Seconds(PATIENCE))
        assert waited.done
        return waited.request

    async def event_types(self, request_id: str) -> list[EventType]:
        page = await self.store.read_events(
            RequestKey(NO_TENANT, request_id), after=0, limit=500, max_bytes=10**9
        )
        assert page is not None
        return [record.event.type for record in page.events]


@asynccontextmanager
async def server(path: Path, settings: EngineSettings = LONG) -> AsyncIterator[Server]:
    """One server process's engine; it does not sweep by itself."""
    block = Block()

    @handler(session_state=Counted)
    async def wait(value: dict[str, int] | None, ctx: Context[Counted]) -> str:
        block.begun.set()
        try:
            await block.go.wait()
        except asyncio.CancelledError:
            block.cancelled.set()
            raise
        await ctx.session.inc_state(count=1)
        return "done"

    @handler
    async def answer(value: dict[str, int] | None, ctx: Context) -> str:
        return "answered"

    flow = define_flow("held", actions={"wait": action(block=wait), "answer": action(block=answer)})
    store = SqliteStore(path)
    engine = create_flowstate(flows=[flow]).engine(store, settings)
    await engine.open()
    await engine.sweeper.close()
    try:
        yield Server(engine, store, block)
    finally:
        await engine.close()


@asynccontextmanager
async def silent_server(path: Path) -> AsyncIterator[tuple[Server, HeldCommits]]:
    """A server whose lease has expired; its renewal is on its way and held."""
    async with server(path, SHORT) as silent:
        renewal = HeldCommits(silent.store, is_renewal)
        try:
            await soon(renewal.reached.wait())
            await until(lambda: _expired(silent))
            yield silent, renewal
        finally:
            renewal.go()


async def _expired(silent: Server) -> bool:
    rows = {row.process: row for row in await silent.store.read_processes()}
    return rows[silent.process].expire_time < await silent.store.time()


async def test_a_sweep_does_not_end_a_run_whose_process_renewed_in_between(path: Path) -> None:
    async with silent_server(path) as (silent, renewal), server(path) as other:
        await silent.begin("r")
        fence = HeldCommits(other.store, is_fence)
        sweep = asyncio.create_task(other.engine.sweeper.end_orphans())
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
            await soon(other.engine.sweeper.end_orphans())
            assert (await other.ended("whole")).head.status is RequestStatus.INTERRUPTED
            await soon(other.engine.sweeper.end_orphans())
    assert caplog.text.count("whose process is gone, can't be ended") == 5


async def test_two_sweeps_at_once_end_each_request_once(path: Path) -> None:
    async with silent_server(path) as (silent, _), server(path) as one, server(path) as two:
        for number in range(30):
            await silent.dispatch(f"r{number}")
        await soon(asyncio.gather(one.engine.sweeper.end_orphans(), two.engine.sweeper.end_orphans()))
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
        await other.engine.sweeper.end_orphans()
        assert (await other.ended("r")).head.status is RequestStatus.INTERRUPTED
        if learns_by == "write":
            silent.block.go.set()
            await until(lambda: _without_run(silent, "r"))
        else:
            assert not silent.block.cancelled.is_set()
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
        await other.engine.sweeper.end_orphans()
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
        await other.engine.sweeper.end_orphans()
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
        commit = shaky.store.commit
        broken = asyncio.Event()
        renewed = asyncio.Event()

        async def break_once(batch: Batch) -> CommitResult:
            if isinstance(batch[0], RenewLease):
                if broken.is_set():
                    renewed.set()
                else:
                    broken.set()
                    raise InternalError("err_1")
            return await commit(batch)

        replace_commit(shaky.store, break_once)
        await soon(renewed.wait())


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
