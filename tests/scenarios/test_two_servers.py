"""Any server serves any request: what runs at the first is followed, awaited and cancelled at the second."""

from __future__ import annotations

import asyncio

import pytest

from flowstate_client import (
    ActionAborted,
    CustomEvent,
    Event,
    FlowStateClient,
    RequestAborted,
    RequestCompleted,
    RequestStatus,
    TimeoutError,
)
from flowstate_client.testing import record_events
from flowstate_server.testing.server_process import server_processes
from tests.support.fleets import Pair
from tests.support.flows import APP
from tests.support.runs import holding


async def test_a_tail_at_the_other_server_sees_the_same_events(pair: Pair) -> None:
    run = await pair.ada_0.flows.dispatch("ledger", "flood", {"count": 500})
    async with asyncio.timeout(20.0):
        here, there = await asyncio.gather(
            record_events(run), record_events(pair.ada_1.flows.handle(run.request_id))
        )
    assert here == there
    assert len([event for event in there if isinstance(event, CustomEvent)]) == 500
    assert isinstance(there[-1], RequestCompleted)


async def test_a_tail_at_the_other_server_is_live(pair: Pair) -> None:
    """It catches up with the running request, then gets a commit of the first server before anything ends."""
    run = await holding(pair.ada_0, session_id="s")
    seen: list[Event] = []
    async with asyncio.timeout(20.0), pair.ada_1.flows.handle(run.request_id).events() as events:
        async for event in events:
            seen.append(event)
            if event.type == "custom":
                await pair.backend_0.state.session("s").on_behalf_of(run.request_id).inc_state(count=1)
            if event.type == "state_change" and getattr(event, "changed", {}) == {"/count": 1}:
                break
    assert [event.sequence for event in seen] == sorted({event.sequence for event in seen})
    await run.cancel()


async def test_the_other_server_waits_for_the_end(pair: Pair) -> None:
    run = await holding(pair.ada_0, value={"seconds": 0.3})
    there = pair.ada_1.flows.handle(run.request_id)
    with pytest.raises(TimeoutError):
        await there.result(timeout=0.05)
    assert await there.result(timeout=20.0) == await run.result() == "held"
    record = await there.get()
    assert (record.status, record.output) == (RequestStatus.COMPLETED, "held")


async def test_the_other_server_cancels(pair: Pair) -> None:
    run = await holding(pair.ada_0, session_id="s")
    there = pair.ada_1.flows.handle(run.request_id)
    record = await there.cancel("enough")
    assert record.cancel_requested
    for handle in (run, there):
        with pytest.raises(ActionAborted):
            await handle.result(timeout=3.0)  # told at once, not found out when the lease is renewed
    last = (await record_events(there))[-1]
    assert isinstance(last, RequestAborted)
    assert last.reason == "enough"


async def test_the_other_servers_snapshot_is_current(pair: Pair) -> None:
    """Reads see every commit that was acknowledged before, whichever server made it."""
    for count in range(1, 21):
        await (pair.ada_0, pair.ada_1)[count % 2].flows.call("ledger", "bump", {}, session_id="s")
        for ada in (pair.ada_0, pair.ada_1):
            snapshot = await ada.sessions.snapshot("s")
            assert snapshot.client_data["session"] == {"count": count, "names": [], "double": 2 * count}


async def test_a_snapshot_names_what_runs_and_where_to_follow_it(pair: Pair) -> None:
    run = await holding(pair.ada_0, session_id="s")
    snapshot = await pair.ada_1.sessions.snapshot("s")
    assert list(snapshot.active_requests) == [run.request_id]
    cursor = snapshot.active_requests[run.request_id]
    await run.cancel()
    rest = await record_events(pair.ada_1.flows.handle(run.request_id).events(after=cursor))
    assert [event.sequence for event in rest] == list(range(cursor.sequence + 1, rest[-1].sequence + 1))
    assert isinstance(rest[-1], RequestAborted)


async def test_a_session_that_both_servers_create_at_once_is_one(pair: Pair) -> None:
    versions = await asyncio.gather(
        *((pair.ada_0, pair.ada_1)[n % 2].flows.call("ledger", "bump", {}, session_id="s") for n in range(20))
    )
    assert sorted(versions) == list(range(1, 21))
    assert [session.id async for session in pair.ada_1.sessions.list()] == ["s"]


async def test_cancel_and_tail_across_processes(shared_url: str) -> None:
    async with (
        server_processes(2, APP, store=shared_url) as (one, two),
        FlowStateClient.connect(one.target, user="ada") as here,
        FlowStateClient.connect(two.target, user="ada") as there,
    ):
        run = await holding(here, session_id="s")
        tail = asyncio.create_task(record_events(there.flows.handle(run.request_id)))
        flood = await there.flows.dispatch("ledger", "flood", {"count": 300}, session_id="s")
        assert await here.flows.handle(flood.request_id).result(timeout=20.0) == 300
        await there.flows.handle(run.request_id).cancel("enough")
        async with asyncio.timeout(20.0):
            events = await tail
        assert isinstance(events[-1], RequestAborted)
        assert await record_events(here.flows.handle(flood.request_id)) == await record_events(flood)
