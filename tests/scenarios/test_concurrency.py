"""Actions that let one request run at a time: on one server and on two, on every store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from flowstate_client import (
    ActionAborted,
    ActionFailed,
    ApiError,
    ConcurrencyRejected,
    FlowStateClient,
    InternalError,
    QueueFull,
    RequestQueued,
    RequestStatus,
    RunHandle,
)
from flowstate_client.testing import record_events
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.model.clock import Seconds
from flowstate_server.model.gates import patience_range, turns_of
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import RequestKey
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.server import RunningServer
from flowstate_server.testing.waiting import soon, until
from tests.support.gated_flow import KIND, assert_one_at_a_time, begun, gated, session_log
from tests.support.store_urls import ALL, SHARED, NewStore

CALLS = 20
QUICK = EngineSettings(cancel_grace=Seconds(0.5), lease=Seconds(3.0))


@pytest.fixture(
    params=[*((kind, 1) for kind in ALL), *((kind, 2) for kind in SHARED)],
    ids=lambda one: "{} x {}".format(*one),
)
async def servers(
    request: pytest.FixtureRequest, start_server: StartServer, new_store: NewStore
) -> list[RunningServer]:
    kind, count = request.param
    url = await new_store(kind)
    return [await start_server([gated], store=url, settings=QUICK) for _ in range(count)]


@pytest.fixture
async def adas(servers: list[RunningServer]) -> AsyncIterator[list[FlowStateClient]]:
    """A client of each server."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(server.connect(user="ada")) for server in servers]


@pytest.fixture
async def alone(start_server: StartServer) -> RunningServer:
    return await start_server([gated], settings=QUICK)


@pytest.fixture
async def ada(alone: RunningServer) -> AsyncIterator[FlowStateClient]:
    async with alone.connect(user="ada") as client:
        yield client


async def dispatched(
    client: FlowStateClient, action: str, number: int = 0, pause: float = 0.0, session: str = "s"
) -> RunHandle:
    return await client.flows.dispatch(KIND, action, {"number": number, "pause": pause}, session_id=session)


async def at_once(
    adas: list[FlowStateClient], action: str, pause: float = 0.0
) -> list[RunHandle | BaseException]:
    """Twenty dispatches of numbered steps at once, over all servers."""
    calls = [dispatched(adas[n % len(adas)], action, n, pause) for n in range(CALLS)]
    return await asyncio.gather(*calls, return_exceptions=True)


async def status_of(run: RunHandle) -> RequestStatus:
    return (await run.get()).status


async def running(run: RunHandle) -> None:
    """It has begun."""

    async def has_begun() -> bool:
        return await status_of(run) is RequestStatus.IN_PROGRESS

    await until(has_begun, what="its beginning")


async def begins(run: RunHandle) -> None:
    """Its block has begun."""
    async with run.events() as events:
        async for event in events:
            if event.type == "custom":
                return


async def test_of_calls_at_once_one_runs_and_is_named_to_the_others(adas: list[FlowStateClient]) -> None:
    answers = await at_once(adas, "reject", pause=30.0)
    [run] = [answer for answer in answers if isinstance(answer, RunHandle)]
    refused = [answer for answer in answers if not isinstance(answer, RunHandle)]
    assert all(isinstance(error, ConcurrencyRejected) for error in refused), refused
    assert {error.running_request_id for error in refused if isinstance(error, ConcurrencyRejected)} == {
        run.request_id
    }
    assert len([one async for one in adas[0].flows.requests(session_id="s")]) == 1
    await run.cancel()
    with pytest.raises(ActionAborted):
        await soon(run.result())
    assert await adas[-1].flows.call(KIND, "reject", {"number": 7}, session_id="s") == 7


async def test_queued_calls_run_in_the_order_in_which_they_came(adas: list[FlowStateClient]) -> None:
    answers = await at_once(adas, "queue")
    runs = {run.request_id: run for run in answers if isinstance(run, RunHandle)}
    assert len(runs) == CALLS, answers
    results = await soon(asyncio.gather(*(run.result(int) for run in runs.values())))
    assert sorted(results) == list(range(CALLS))
    events = await session_log(adas[0])
    assert_one_at_a_time(events)
    assert begun(events) == [event.request_id for event in events if event.type == "request.created"]


async def test_dispatches_one_after_another_are_told_how_many_are_ahead(adas: list[FlowStateClient]) -> None:
    runs = [await dispatched(adas[n % len(adas)], "queue", n, pause=0.0 if n else 2.0) for n in range(4)]
    first, *others = [await soon(record_events(run)) for run in runs]
    assert [event.type for event in first][:2] == ["request.created", "request.in_progress"]
    for events in others:
        kinds = [event.type for event in events if event.type.startswith("request.")]
        assert kinds == ["request.created", "request.queued", "request.in_progress", "request.completed"]
    [told] = [event for event in others[-1] if isinstance(event, RequestQueued)]
    assert 1 <= told.ahead <= 3
    assert told.expire_time is not None
    assert 590 < (told.expire_time - told.time).total_seconds() < 610
    assert await runs[-1].result() == 3
    begun_at_once, *waited = [await run.get() for run in runs]
    assert begun_at_once.start_time == begun_at_once.create_time
    for record, events in zip(waited, others, strict=True):
        [event] = [event for event in events if event.type == "request.in_progress"]
        assert record.create_time is not None
        assert record.start_time == event.time > record.create_time


async def test_the_newest_call_interrupts(adas: list[FlowStateClient]) -> None:
    first = await dispatched(adas[0], "interrupt", 99, pause=30.0)
    await running(first)
    answers = await at_once(adas, "interrupt", pause=1.0)
    runs = {run.request_id: run for run in answers if isinstance(run, RunHandle)}
    assert len(runs) == CALLS, answers
    events = await session_log(adas[0])
    last = [event.request_id for event in events if event.type == "request.created"][-1]
    await soon(asyncio.gather(*(record_events(run) for run in runs.values())))
    assert await runs[last].result() in range(CALLS)
    for request_id, run in {first.request_id: first, **runs}.items():
        if request_id != last:
            with pytest.raises(ActionAborted, match="newer request"):
                await run.result()
    assert_one_at_a_time(await session_log(adas[0]))


async def test_a_run_that_ignores_its_cancellation_is_abandoned_for_the_newest(
    adas: list[FlowStateClient],
) -> None:
    """The newer one begins when the grace is over, while the block of the older one still goes on."""
    first = await dispatched(adas[0], "clinging", 1, pause=3.0)
    await begins(first)
    second = await dispatched(adas[-1], "clinging", 2)
    assert await status_of(second) is RequestStatus.QUEUED
    assert await soon(second.result()) == 2
    with pytest.raises(ActionAborted, match="newer request"):
        await first.result()
    begun_at, ended_at = (await second.get()).start_time, (await first.get()).end_time
    assert begun_at is not None
    assert ended_at is not None
    assert ended_at <= begun_at
    created = (await second.get()).create_time
    assert created is not None
    assert 0.4 < (begun_at - created).total_seconds() < 2.5


async def test_a_queued_request_is_cancelled_at_once(adas: list[FlowStateClient]) -> None:
    first = await dispatched(adas[0], "queue", 1, pause=30.0)
    second, third = [await dispatched(adas[-1], "queue", number) for number in (2, 3)]
    record = await second.cancel("not needed")
    assert (record.status, record.stop_reason, record.start_time) == (
        RequestStatus.ABORTED,
        "not needed",
        None,
    )
    assert await status_of(third) is RequestStatus.QUEUED
    await first.cancel()
    assert await soon(third.result()) == 3
    assert begun(await session_log(adas[0])) == [first.request_id, third.request_id]


async def test_deleting_a_session_ends_its_queued_requests_and_hands_on_its_gates(
    adas: list[FlowStateClient], servers: list[RunningServer]
) -> None:
    first = await dispatched(adas[0], "of_user", 1, pause=30.0, session="gone")
    second = await dispatched(adas[0], "of_user", 2, session="gone")
    third = await dispatched(adas[-1], "of_user", 3, session="kept")
    assert await status_of(third) is RequestStatus.QUEUED
    async with servers[-1].connect(plane="trusted") as backend:
        await backend.sessions.delete("gone")
    assert await soon(third.result()) == 3
    for run in (first, second):
        with pytest.raises(ApiError):
            await run.get()
    assert await status_of(third) is RequestStatus.COMPLETED


async def test_a_repeat_attaches_ahead_of_the_gate(adas: list[FlowStateClient]) -> None:
    call: dict[str, Any] = {
        "input": {"number": 1, "pause": 1.0},
        "session_id": "s",
        "request_id": "req_first",
    }
    first = await adas[0].flows.dispatch(KIND, "reject", **call)
    again = await adas[-1].flows.dispatch(KIND, "reject", **call)
    assert again.attached
    assert await soon(again.result()) == await first.result() == 1


async def test_a_call_waits_for_its_turn_and_for_its_end(adas: list[FlowStateClient]) -> None:
    first = await dispatched(adas[0], "queue", 1, pause=0.3)
    assert await adas[-1].flows.call(KIND, "queue", {"number": 2}, session_id="s") == 2
    assert await status_of(first) is RequestStatus.COMPLETED
    await dispatched(adas[0], "queue", 3, pause=2.0)
    stream = adas[-1].flows.stream(KIND, "queue", {"number": 4}, session_id="s")
    types = [event.type async for event in stream]
    assert types[:3] == ["request.created", "request.queued", "request.in_progress"]
    assert types[-1] == "request.completed"


async def test_who_waits_too_long_fails(adas: list[FlowStateClient], servers: list[RunningServer]) -> None:
    first = await dispatched(adas[0], "impatient", 1, pause=30.0)
    second = await dispatched(adas[-1], "impatient", 2)
    with pytest.raises(ActionFailed) as failed:
        await soon(second.result())
    assert failed.value.failure.reason == "QUEUE_TIMEOUT"
    assert (await second.get()).start_time is None
    assert await status_of(first) is RequestStatus.IN_PROGRESS
    await first.cancel()
    with pytest.raises(ActionAborted):
        await soon(first.result())
    assert await adas[-1].flows.call(KIND, "impatient", {"number": 3}, session_id="s") == 3
    store = servers[0].engine.store
    assert not await store.read_documents(patience_range(limit=10))
    assert not await store.read_documents(turns_of(KIND, limit=10))


async def test_who_may_wait_for_ever_waits(ada: FlowStateClient) -> None:
    """However long an author says, until when one waits is a time that can be stored and shown."""
    first = await dispatched(ada, "patient", 1, pause=30.0)
    second = await dispatched(ada, "patient", 2)
    await first.cancel()
    assert await soon(second.result()) == 2
    [queued] = [event for event in await record_events(second) if isinstance(event, RequestQueued)]
    assert queued.expire_time is not None
    assert queued.expire_time - queued.time == timedelta(days=36500)


async def test_a_full_queue_refuses(ada: FlowStateClient) -> None:
    first, *waiting = [await dispatched(ada, "short", n, pause=0.0 if n else 30.0) for n in range(3)]
    with pytest.raises(QueueFull) as refused:
        await dispatched(ada, "short", 3)
    assert refused.value.metadata["limit"] == "2"
    assert refused.value.message == "The queue is full: 2 waiting, the limit is 2."
    await first.cancel()
    assert [await soon(run.result()) for run in waiting] == [1, 2]


async def test_gates_are_told_apart_by_what_the_action_says(
    ada: FlowStateClient, alone: RunningServer
) -> None:
    """By session, by user, or by a function of the input, of whatever length its text is."""
    await dispatched(ada, "reject", pause=30.0, session="a")
    assert await ada.flows.call(KIND, "reject", {"number": 1}, session_id="b") == 1
    await dispatched(ada, "of_user", pause=30.0, session="a")
    assert await status_of(await dispatched(ada, "of_user", session="b")) is RequestStatus.QUEUED
    async with alone.connect(user="eve") as eve:
        assert await eve.flows.call(KIND, "of_user", {"number": 1}) == 1
        await dispatched(eve, "of_number", 5, pause=30.0, session="of eve")
    assert await ada.flows.call(KIND, "of_number", {"number": 6}) == 6
    with pytest.raises(ConcurrencyRejected) as refused:
        await ada.flows.call(KIND, "of_number", {"number": 5})
    assert refused.value.running_request_id == ""  # it is somebody else's
    assert "eve" not in str(refused.value)
    await dispatched(ada, "long_key", pause=30.0)
    with pytest.raises(ConcurrencyRejected):
        await ada.flows.call(KIND, "long_key", {}, session_id="c")


async def test_a_key_that_fails_fails_the_call_and_stores_nothing(ada: FlowStateClient) -> None:
    with pytest.raises(InternalError):
        await ada.flows.call(KIND, "broken_key", {"number": 1}, session_id="s")
    assert [one async for one in ada.flows.requests()] == []


async def test_tenants_have_gates_of_their_own(alone: RunningServer) -> None:
    for tenant in ("acme", "other"):
        async with alone.connect(user="ada", tenant=tenant) as client:
            await dispatched(client, "reject", pause=30.0)


async def test_validating_tells_what_would_become_of_a_call(ada: FlowStateClient) -> None:
    first = await dispatched(ada, "queue", 1, pause=30.0)
    record = await ada.flows.validate(KIND, "queue", {"number": 2}, session_id="s")
    assert record.status is RequestStatus.QUEUED
    assert len([one async for one in ada.flows.requests(session_id="s")]) == 1
    await first.cancel()


async def test_the_time_limit_counts_from_the_beginning(ada: FlowStateClient, alone: RunningServer) -> None:
    first = await dispatched(ada, "queue", 1, pause=0.6)
    second = await ada.flows.dispatch(
        KIND, "queue", {"number": 2, "pause": 30.0}, session_id="s", execution_timeout=0.4
    )
    stored = await alone.engine.store.get_request(RequestKey(NO_TENANT, second.request_id))
    assert stored is not None
    assert stored.timeout == 400_000
    assert stored.correlation_id
    assert await soon(first.result()) == 1
    with pytest.raises(ActionFailed) as failed:
        await soon(second.result())
    assert failed.value.failure.reason == "ACTION_TIMEOUT"


@pytest.mark.parametrize("how", ["call", "stream", "result"])
async def test_a_run_that_would_wait_for_itself_is_refused(
    ada: FlowStateClient, alone: RunningServer, how: str
) -> None:
    inner = {"target": alone.target, "how": how}
    told = await soon(ada.flows.call(KIND, "outer", inner, session_id="s", output=str), 10.0)
    assert "would wait for itself" in told
    made = [one async for one in ada.flows.requests(session_id="s", flow_kind=KIND, action="inner")]
    assert len(made) == (how == "result")  # which was dispatched before it was waited for
    for one in made:
        assert await soon(ada.flows.handle(one.request_id).result()) == 1


async def test_a_run_may_leave_work_for_after_its_end(ada: FlowStateClient, alone: RunningServer) -> None:
    """It dispatches into its own gate and goes on."""
    inside = {"target": alone.target, "how": "go on"}
    assert await soon(ada.flows.call(KIND, "outer", inside, session_id="s")) == "went on"
    [inner] = [one async for one in ada.flows.requests(session_id="s", flow_kind=KIND, action="inner")]
    assert await soon(ada.flows.handle(inner.request_id).result()) == 1
    assert_one_at_a_time(await session_log(ada))


async def test_actions_of_a_group_share_a_gate(ada: FlowStateClient) -> None:
    first = await dispatched(ada, "inner", 1, pause=30.0)
    waiting = await dispatched(ada, "inner", 2)
    newest = await dispatched(ada, "newest", 3)
    assert await soon(newest.result()) == 3
    for run in (first, waiting):
        with pytest.raises(ActionAborted, match="newer request"):
            await run.result()
