"""Queues whose servers are killed, stopped or replaced: they go on, in order, and nothing runs twice."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flowstate_client import (
    ActionFailed,
    ActionInterrupted,
    Backoff,
    ClientConfig,
    ConcurrencyRejected,
    FlowStateClient,
    QueueFull,
    RequestStatus,
    RunHandle,
)
from flowstate_server.testing.server_process import ServerProcess, server_process, server_processes
from flowstate_server.testing.waiting import soon, until
from tests.support.gated_flow import KIND, assert_one_at_a_time, begun, session_log
from tests.support.store_urls import DURABLE, SHARED, NewStore, new_stores

APP = "tests.support.gated_flow:app"
LEASE = 2.0
SETTINGS = {"lease": LEASE, "log_level": "warning"}
PATIENT = ClientConfig(timeout=60.0, connect_timeout=5.0, backoff=Backoff(initial=0.02, maximum=0.3))
SOAK_SECONDS = float(os.environ.get("FLOWSTATE_TEST_SOAK_SECONDS", "600"))
DURATIONS = [6.0, pytest.param(SOAK_SECONDS, marks=pytest.mark.soak)]


@pytest.fixture(autouse=True)
async def new_store(tmp_path: Path) -> AsyncIterator[NewStore]:
    async with new_stores(tmp_path) as make:
        yield make


@pytest.fixture(params=DURABLE)
async def durable_url(request: pytest.FixtureRequest, new_store: NewStore) -> str:
    return await new_store(request.param)


@pytest.fixture(params=SHARED)
async def shared_url(request: pytest.FixtureRequest, new_store: NewStore) -> str:
    return await new_store(request.param)


def connect(server: ServerProcess) -> FlowStateClient:
    return FlowStateClient.connect(server.target, user="ada", config=PATIENT)


async def dispatched(
    client: FlowStateClient, action: str, number: int, pause: float = 0.0, session: str = "s"
) -> RunHandle:
    return await client.flows.dispatch(KIND, action, {"number": number, "pause": pause}, session_id=session)


async def in_progress(run: RunHandle) -> bool:
    return (await run.get()).status is RequestStatus.IN_PROGRESS


async def test_the_queue_of_a_killed_server_goes_on_at_another(shared_url: str) -> None:
    async with (
        server_processes(2, APP, store=shared_url, **SETTINGS) as (first, second),
        connect(first) as here,
        connect(second) as there,
    ):
        held = await dispatched(here, "queue", 0, pause=60.0)
        runs = [await dispatched((here, there)[n % 2], "queue", n) for n in range(1, 8)]
        assert await in_progress(held)
        first.kill()
        killed = time.monotonic()
        handles = [there.flows.handle(run.request_id) for run in runs]
        results = [await soon(handle.result(int)) for handle in handles]
        took = time.monotonic() - killed
        assert results == list(range(1, 8))
        assert took < 2 * LEASE + 1.0, took  # which the others took to run, one after another
        with pytest.raises(ActionInterrupted):
            await there.flows.handle(held.request_id).result()
        events = await session_log(there)
        assert_one_at_a_time(events)
        assert begun(events) == [held.request_id, *(run.request_id for run in runs)]


async def test_what_a_killed_server_had_begun_does_not_run_again(shared_url: str) -> None:
    """Interrupting and rejecting go on as well, within two leases."""
    async with (
        server_processes(2, APP, store=shared_url, **SETTINGS) as (first, second),
        connect(first) as here,
        connect(second) as there,
    ):
        for session, action in (("i", "interrupt"), ("r", "reject")):
            await dispatched(here, action, 0, pause=60.0, session=session)
        first.kill()
        killed = time.monotonic()
        newest = await dispatched(there, "interrupt", 1, session="i")
        assert await soon(newest.result()) == 1

        async def is_let_in() -> bool:
            try:
                return bool(await there.flows.call(KIND, "reject", {"number": 1}, session_id="r"))
            except ConcurrencyRejected:
                return False

        await until(is_let_in, every=0.1)
        assert time.monotonic() - killed < 2 * LEASE + 1.0
        for session in "ir":
            events = await session_log(there, session)
            assert_one_at_a_time(events)
            assert len(begun(events)) == 2


@pytest.mark.parametrize("way", ["killed", "terminated"])
async def test_queued_requests_survive_a_restart(durable_url: str, way: str) -> None:
    settings = {**SETTINGS, "drain_grace": 0.5}
    async with server_process(APP, store=durable_url, **settings) as server:
        async with connect(server) as client:
            held = await dispatched(client, "queue", 0, pause=60.0)
            runs = [await dispatched(client, "queue", number) for number in (1, 2, 3)]
        if way == "killed":
            server.kill()
        else:
            assert await server.terminate() == 0
        await server.start()
        async with connect(server) as client:
            for number, run in enumerate(runs, start=1):
                assert await soon(client.flows.handle(run.request_id).result(int)) == number
            with pytest.raises(ActionInterrupted):
                await client.flows.handle(held.request_id).result()
            events = await session_log(client)
    assert_one_at_a_time(events)
    assert begun(events) == [held.request_id, *(run.request_id for run in runs)]


async def test_a_server_that_drains_begins_no_more(shared_url: str) -> None:
    """What is queued goes to another one, while the first still has a run to end."""
    settings = {**SETTINGS, "drain_grace": 15.0}
    async with (
        server_processes(2, APP, store=shared_url, **settings) as (first, second),
        connect(first) as here,
        connect(second) as there,
    ):
        keeping = await dispatched(here, "free", 9, pause=2.0, session="other")
        held = await dispatched(here, "queue", 0, pause=0.7)
        queued = await dispatched(here, "queue", 1, pause=4.0)
        assert await in_progress(held)
        stopping = asyncio.create_task(first.terminate())
        assert await soon(there.flows.handle(keeping.request_id).result()) == 9
        assert await soon(stopping) == 0  # within its grace, so that it can't have had the longest run
        handle = there.flows.handle(queued.request_id)
        assert await in_progress(handle)
        assert await soon(handle.result()) == 1


@pytest.mark.parametrize("seconds", DURATIONS)
@pytest.mark.parametrize("kind", SHARED)
async def test_queues_whose_servers_are_killed_again_and_again(
    kind: str, seconds: float, new_store: NewStore
) -> None:
    chance = random.Random(seconds)
    url = await new_store(kind)
    async with server_processes(3, APP, store=url, **SETTINGS) as servers:
        load = _Load(servers, chance)
        async with asyncio.TaskGroup() as group:
            callers = [group.create_task(load.call(session)) for session in load.sessions]
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                await asyncio.sleep(chance.uniform(0.5, 2.0))
                server = chance.choice(servers)
                server.kill()
                await asyncio.sleep(chance.uniform(0, 0.5))  # others may notice, or not
                await server.start()
            load.stopped = True
            await asyncio.wait(callers)
        await load.check()
        for server in servers:
            assert "Traceback" not in server.log


class _Load:
    """Callers of all policies in a few sessions, who go on whatever becomes of their calls."""

    def __init__(self, servers: list[ServerProcess], chance: random.Random) -> None:
        self.sessions = [f"session-{number}" for number in range(4)]
        self.stopped = False
        self._servers = servers
        self._chance = chance
        self._numbers = itertools.count(1)
        self._runs: list[str] = []

    async def call(self, session: str) -> None:
        await asyncio.gather(*(self._work(session) for _ in range(3)))

    async def _work(self, session: str) -> None:
        while not self.stopped:
            async with connect(self._chance.choice(self._servers)) as client:
                try:
                    await self._one(client, session)
                except (ConcurrencyRejected, QueueFull):
                    await asyncio.sleep(0.05)
                except ActionFailed:
                    continue

    async def _one(self, client: FlowStateClient, session: str) -> None:
        action = self._chance.choice(["inner", "inner", "inner", "newest"])
        run = await dispatched(client, action, next(self._numbers), self._chance.uniform(0, 0.2), session)
        self._runs.append(run.request_id)
        if self._chance.random() < 0.1:
            await run.cancel("not needed")
        await run.result(timeout=60.0)

    async def check(self) -> None:
        """Everything has ended, nothing began twice, and one at a time had the gate of its session."""
        async with connect(self._servers[0]) as client:
            for request_id in self._runs:
                await soon(self._ended(client.flows.handle(request_id)))
            statuses = [(await client.flows.handle(one).get()).status for one in self._runs]
            assert RequestStatus.COMPLETED in statuses
            for session in self.sessions:
                assert_one_at_a_time(await session_log(client, session))
            assert await client.flows.call(KIND, "inner", {"number": 0}, session_id=self.sessions[0]) == 0

    async def _ended(self, run: RunHandle) -> None:
        try:
            await run.result()
        except ActionFailed:
            return
