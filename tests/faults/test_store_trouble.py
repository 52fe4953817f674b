"""A store that is full or fails under a running server: who is told what, and what comes of it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import ClientConfig, FlowStateClient, RequestStatus, RunHandle, Unavailable
from flowstate_client.testing import record_events
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import StoreUnavailableError
from flowstate_server.flows import Action, Audience, Context, action, define_flow, handler
from flowstate_server.model.clock import Seconds
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    Batch,
    ChangeState,
    CommitResult,
    FinishRequest,
    Write,
)
from flowstate_server.stores.sqlite import SqliteStore
from flowstate_server.testing.server import running_server
from flowstate_server.testing.server_process import server_process
from flowstate_server.testing.waiting import soon, until
from tests.support.fault_flows import KIND
from tests.support.full_disk import fail_writes, let_write, linux
from tests.support.held_commits import replace_commit
from tests.support.kill_load import load_on
from tests.support.whole_database import INTERRUPTED, assert_whole, opened, statuses_of, unfinished

APP = "tests.support.fault_flows:app"
LEASE = 1.0
LARGE = "x" * 300_000
HASTY = ClientConfig(timeout=0.9)  # the server asks for a second, which this client does not have
PATIENT = ClientConfig(timeout=30.0)


class Text(BaseModel):
    text: str = ""
    count: int = 0


@dataclass
class Gate:
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Full:
    """A server whose database can be made full."""

    store: SqliteStore
    gate: Gate
    hasty: FlowStateClient
    patient: FlowStateClient
    refused: list[Write] = field(default_factory=list)
    """What the store had no room for, each attempt."""

    def __post_init__(self) -> None:
        commit = self.store.commit

        async def noting(batch: Batch) -> CommitResult:
            try:
                return await commit(batch)
            except StoreUnavailableError:
                self.refused += batch
                raise

        replace_commit(self.store, noting)

    async def refusals(self, kind: type[Write], times: int = 1) -> None:
        """Wait until writes of this kind were refused so often."""
        await until(lambda: [type(write) for write in self.refused].count(kind) >= times)

    async def fill(self) -> None:
        await self._limit(1)

    async def make_room(self) -> None:
        await self._limit(1_000_000)

    async def begin(self, action: str) -> RunHandle:
        """A run that waits at the gate."""
        run = await self.patient.flows.dispatch("texts", action, None, session_id="s")
        await soon(self.gate.begun.wait())
        return run

    async def _limit(self, pages: int) -> None:
        def limit(connection: sqlite3.Connection) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()

        await self.store.backend.writer._connection.run(limit)


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Full]:
    gate = Gate()

    @handler(session_state=Text)
    async def answer_at_length(value: str | None, ctx: Context[Text]) -> str:
        gate.begun.set()
        await gate.opened.wait()
        return LARGE

    @handler(session_state=Text)
    async def emit_at_length(value: None, ctx: Context[Text]) -> None:
        gate.begun.set()
        await gate.opened.wait()
        for number in range(100):
            await ctx.emit("piece", LARGE[:5_000] + str(number), audience=Audience.CLIENT)
        await asyncio.Event().wait()

    @handler(session_state=Text)
    async def write_at_length(value: None, ctx: Context[Text]) -> int:
        gate.begun.set()
        await gate.opened.wait()
        await ctx.emit("before", audience=Audience.CLIENT)
        await ctx.session.inc_state(count=1)
        await ctx.session.patch_state(text=LARGE)
        await ctx.session.refresh()
        return len(ctx.session.state.text)

    actions: dict[str, Action[Any, Any]] = {
        "write": action(block=write_at_length),
        "answer": action(block=answer_at_length),
        "emit": action(block=emit_at_length),
    }
    flow = define_flow("texts", actions=actions)
    store = SqliteStore(path)
    settings = EngineSettings(lease=Seconds(LEASE), cancel_grace=Seconds(0.5))
    async with (
        running_server(flow, store=store, settings=settings) as server,
        server.connect(plane="trusted", user="u", config=HASTY) as hasty,
        server.connect(plane="trusted", user="u", config=PATIENT) as patient,
    ):
        await patient.sessions.create("texts", session_id="s", user_id="u")
        yield Full(store, gate, hasty, patient)


async def test_callers_are_told_and_the_store_is_used_again_once_there_is_room(path: Path) -> None:
    async with serving(path) as full:
        session = full.patient.state.session("s")
        await session.inc_state(count=1)
        await full.fill()
        with pytest.raises(Unavailable) as refused:
            await full.hasty.state.session("s").patch_state(text=LARGE)
        assert refused.value.reason == "STORE_UNAVAILABLE"
        assert refused.value.retry_after
        with pytest.raises(Unavailable, match="STORE_UNAVAILABLE"):
            await full.hasty.flows.dispatch("texts", "answer", LARGE, session_id="s")
        assert (await session.get()).state == {"count": 1, "text": ""}

        full.refused.clear()
        waiting = asyncio.create_task(session.patch_state(text=LARGE))
        await full.refusals(ChangeState, 2)
        assert not waiting.done()
        await full.make_room()
        assert (await soon(waiting)).version == 2
        record = await session.get()
        assert (record.version, record.state) == (2, {"count": 1, "text": LARGE})


async def test_the_end_of_a_run_waits_for_the_store(path: Path) -> None:
    async with serving(path) as full:
        run = await full.begin("answer")
        await full.fill()
        full.gate.opened.set()
        with pytest.raises(TimeoutError):
            await run.result(str, timeout=2 * LEASE)
        assert (await run.get()).status is RequestStatus.IN_PROGRESS
        await full.make_room()
        assert await run.result(str, timeout=20.0) == LARGE
        events = await soon(record_events(run))
        assert events[-1].type == "request.completed"


async def test_the_writes_of_a_run_wait_for_the_store(path: Path) -> None:
    async with serving(path) as full:
        run = await full.begin("write")
        await full.fill()
        full.gate.opened.set()
        with pytest.raises(TimeoutError):
            await run.result(int, timeout=2 * LEASE)
        await full.make_room()
        assert await run.result(int, timeout=20.0) == len(LARGE)
        record = await full.patient.state.session("s").get()
        assert (record.version, record.state) == (2, {"count": 1, "text": LARGE})
        events = [event.type for event in await soon(record_events(run))]
        assert events.count("custom") == 1
        assert events[-1] == "request.completed"


async def test_a_cancelled_run_ends_as_aborted_although_the_store_was_away(path: Path) -> None:
    async with serving(path) as full:
        run = await full.begin("emit")
        await full.fill()
        full.gate.opened.set()
        await run.cancel("enough")
        await full.refusals(FinishRequest)
        await full.make_room()
        events = await soon(record_events(run))
        assert events[-1].type == "request.aborted"


async def test_what_a_quiet_run_has_emitted_comes_when_there_is_room(path: Path) -> None:
    async with serving(path) as full:
        run = await full.begin("emit")
        await full.fill()
        full.gate.opened.set()
        tail = run.events()
        seen: list[str] = []

        async def follow() -> None:
            async for event in tail:
                seen.append(event.type)  # noqa: PERF401 - counted meanwhile

        following = asyncio.create_task(follow())
        await full.refusals(AppendEvents, 2)
        assert seen.count("custom") < 100
        await full.make_room()
        await until(lambda: seen.count("custom") == 100)
        following.cancel()


LOG_NOT_WRITTEN = 120
"""Python's own exit code when it can't flush stderr in the end."""


@linux
async def test_under_load_nothing_acknowledged_is_lost(path: Path) -> None:
    """For longer than a lease: nobody else is there to end the runs, so they go on."""
    settings = {"lease": LEASE, "transient_retention": 86_400, "log_level": "warning"}
    async with server_process(APP, store=f"sqlite:///{path}", **settings) as server:
        async with FlowStateClient.connect(server.target) as client:
            process = (await client.server.info()).instance_id
            async with load_on(server.target, random.Random(1)) as load:
                for _ in range(3):
                    await load.busy()
                    fail_writes(server)
                    await asyncio.sleep(0.5)  # for the answers that are on their way
                    answered = len(load.shared_versions)
                    await asyncio.sleep(1.5 * LEASE)  # nothing is answered, and no lease may be lost by it
                    assert len(load.shared_versions) == answered
                    let_write(server)
                await until(lambda: RequestStatus.COMPLETED in load.statuses)
            assert (await client.server.info(refresh=True)).instance_id == process
        with opened(path) as database:
            assert_whole(database)
            load.assert_finished(database)
            assert load.statuses == {RequestStatus.COMPLETED}
            assert not unfinished(database)
        assert "fenced" not in server.log


@linux
async def test_a_server_stops_although_its_store_fails_and_the_next_ends_its_runs(path: Path) -> None:
    settings = {"lease": LEASE, "drain_grace": 0.5, "cancel_grace": 0.5}
    async with (
        server_process(APP, store=f"sqlite:///{path}", **settings) as server,
        FlowStateClient.connect(server.target, user="u") as client,
    ):
        run = await client.flows.dispatch(KIND, "nap", {"seconds": 600.0})
        fail_writes(server)
        assert await soon(server.terminate()) in (0, LOG_NOT_WRITTEN)
        await server.start()
        with opened(path) as database:
            await until(lambda: statuses_of(database, [run.request_id]) == [INTERRUPTED])
            assert_whole(database)
