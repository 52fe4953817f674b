"""A process that falls silent and comes back: SIGSTOP, SIGCONT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from flowstate_client import CustomEvent, Event, FlowStateClient, RequestInterrupted
from flowstate_client.testing import record_events
from flowstate_server.stores.sqlite.writer_queue import WriterQueue
from flowstate_server.testing.server_process import server_processes
from flowstate_server.testing.waiting import soon, until
from tests.support.fault_flows import KIND
from tests.support.store_urls import SHARED, new_store_url
from tests.support.whole_database import STATE_CHANGE, assert_whole, opened, unfinished

APP = "tests.support.fault_flows:app"


async def test_a_stopped_process_loses_its_lease_and_can_write_nothing_more(path: Path) -> None:
    witness = path.parent / "witness"
    async with (
        server_processes(2, APP, store=f"sqlite:///{path}", lease=2.0) as (stopped, other),
        FlowStateClient.connect(stopped.target, user="u") as client,
        FlowStateClient.connect(other.target, user="u") as elsewhere,
    ):
        process = (await client.server.info()).instance_id
        run = await client.flows.dispatch(KIND, "persist", {"path": str(witness)}, session_id="s")
        tail = asyncio.create_task(record_events(elsewhere.flows.handle(run.request_id)))
        await _begun(run.events())
        async with _nobody_writes(path):
            stopped.pause()
        events = await soon(tail, 30.0)
        assert isinstance(events[-1], RequestInterrupted)
        assert not witness.exists()

        stopped.resume()
        await until(lambda: witness.exists() and witness.read_text())
        assert witness.read_text() == "LEASE_LOST\n"

        assert await client.flows.call(KIND, "nap", {}, session_id="s", timeout=20.0) == "rested"
        assert (await client.server.info(refresh=True)).instance_id != process
        for log in (run.events(), elsewhere.flows.handle(run.request_id).events()):
            assert _ids(await soon(record_events(log))) == _ids(events)
        _assert_nothing_came_late(path)


async def _begun(events: AsyncIterator[Event]) -> None:
    async for event in events:
        if isinstance(event, CustomEvent):
            return


@asynccontextmanager
async def _nobody_writes(path: Path) -> AsyncIterator[None]:
    """While nobody else can write: a process stopped now is not stopped amid a write."""
    queue = WriterQueue(path)
    try:
        await asyncio.to_thread(queue.__enter__)
        yield
        queue.__exit__()
    finally:
        queue.close()


def _ids(events: Sequence[Event]) -> list[str]:
    return [event.event_id for event in events]


def _assert_nothing_came_late(path: Path) -> None:
    with opened(path) as database:
        assert_whole(database)
        assert not unfinished(database)
        (count,) = database.execute("SELECT text ->> 'count' FROM states WHERE kind = 2").fetchone()
        changes = f"SELECT count(*) FROM events WHERE type = {STATE_CHANGE}"
        assert database.execute(changes).fetchone() == (count,)


async def test_a8_a_process_that_was_stopped_fences_nobody(tmp_path: Path) -> None:
    await _stop_and_go_on("sqlite", tmp_path, rounds=3)


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", SHARED)
async def test_a8_a_process_that_was_stopped_fences_nobody_in_twenty_rounds(
    store: str, tmp_path: Path
) -> None:
    await _stop_and_go_on(store, tmp_path, rounds=20)


async def _stop_and_go_on(store: str, folder: Path, rounds: int) -> None:
    """Stopped amid its writes it may hold the lock of the database, so that the other one can't renew meanwhile."""
    async with (
        new_store_url(store, folder) as url,
        server_processes(2, APP, store=url, lease=1.0) as (stopped, healthy),
        FlowStateClient.connect(stopped.target, user="u") as client,
        FlowStateClient.connect(healthy.target, user="u") as elsewhere,
    ):
        for number in range(rounds):
            writing = await client.flows.dispatch(KIND, "work", {"number": number, "steps": 5_000})
            await _begun(writing.events())
            process = (await elsewhere.server.info(refresh=True)).instance_id
            run = await elsewhere.flows.dispatch(KIND, "nap", {"seconds": 2.5})
            await asyncio.sleep(0.01 * number)  # a moment like any other
            stopped.pause()
            await asyncio.sleep(2.0)  # two leases
            stopped.resume()
            assert await run.result(str, timeout=30.0) == "rested"
            assert (await elsewhere.server.info(refresh=True)).instance_id == process
            await writing.cancel()
