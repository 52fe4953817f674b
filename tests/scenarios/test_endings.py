"""How runs end, and what their callers are told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from flowstate_client import (
    ActionAborted,
    ActionFailed,
    ActionInterrupted,
    CustomEvent,
    Failure,
    FlowStateClient,
    RequestAborted,
    RequestFailed,
    RequestStatus,
    RunHandle,
    Scope,
    TerminalEvent,
    ValidationFailed,
)
from flowstate_client.testing import record_events
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.server import RunningServer
from tests.scenarios.conftest import QUICK
from tests.support.fleets import Pair
from tests.support.flows import CLUNG, app
from tests.support.runs import holding

SOON = 3.0
"""A second is promised; a busy machine may take longer, but not as long as it takes to renew a lease."""

SECRET = "canary-51c3"


async def _failure(run: RunHandle) -> Failure:
    """The same failure wherever one looks: raised, recorded, and in the one terminal event."""
    with pytest.raises(ActionFailed) as raised:
        await run.result(timeout=20.0)
    record = await run.get()
    assert record.failure == raised.value.failure
    assert record.status is raised.value.status
    *before, last = await record_events(run)
    assert isinstance(last, RequestFailed)
    assert last.failure == record.failure
    assert not any(isinstance(event, TerminalEvent) for event in before)
    return raised.value.failure


@pytest.mark.parametrize("limit", ["the action's", "the caller's"])
async def test_a_run_that_takes_too_long_fails(ada: FlowStateClient, limit: str) -> None:
    if limit == "the action's":
        run = await ada.flows.dispatch("ledger", "hold_briefly", {}, session_id="s")
    else:
        run = await ada.flows.dispatch("ledger", "hold", {}, session_id="s", execution_timeout=0.05)
    failure = await _failure(run)
    assert failure.reason == "ACTION_TIMEOUT"
    assert (await run.get()).status is RequestStatus.FAILED


async def test_the_smaller_limit_wins(ada: FlowStateClient) -> None:
    run = await ada.flows.dispatch("ledger", "hold_briefly", {}, execution_timeout=3600.0)
    assert (await _failure(run)).reason == "ACTION_TIMEOUT"


async def test_a_run_in_time_is_not_stopped(ada: FlowStateClient) -> None:
    assert await ada.flows.call("ledger", "echo", {"text": "in time"}, execution_timeout=20.0) == "in time"


async def test_cancel_ends_a_run_soon(ada: FlowStateClient) -> None:
    run = await holding(ada, session_id="s")
    await run.cancel("enough")
    with pytest.raises(ActionAborted):
        await run.result(timeout=SOON)
    last = (await record_events(run))[-1]
    assert isinstance(last, RequestAborted)
    assert last.reason == (await run.get()).stop_reason == "enough"
    assert last.scope_versions[Scope.SESSION] == 1


async def test_cancelling_what_has_ended_changes_nothing(ada: FlowStateClient) -> None:
    run = await ada.flows.dispatch("ledger", "echo", {"text": "done"})
    await run.result()
    before = await run.get()
    assert await run.cancel("too late") == before
    assert await run.get() == before


async def test_a_client_that_leaves_does_not_stop_the_run(
    server: RunningServer, ada: FlowStateClient
) -> None:
    async with server.connect(user="ada") as leaving:
        run = await holding(leaving, value={"seconds": 0.2}, session_id="s")
    assert await ada.flows.handle(run.request_id).result(timeout=20.0) == "held"


@pytest.mark.parametrize("stopped_by", ["cancel", "timeout"])
@pytest.mark.parametrize("action", ["cling", "cling_in_thread"])
async def test_a_block_that_ignores_its_cancellation_is_abandoned_and_fenced(
    pair: Pair, action: str, stopped_by: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After the grace the request ends; what the block does then reaches nobody. Stopped and seen from elsewhere."""
    limit = 1.0 if stopped_by == "timeout" else None  # in which the block begins and writes
    clinging = {"seconds": (limit or 0.0) + 0.6}  # well beyond the grace
    run = await holding(pair.ada_0, action, clinging, session_id="s", execution_timeout=limit)
    there = pair.ada_1.flows.handle(run.request_id)
    if stopped_by == "cancel":
        await there.cancel()
    with pytest.raises(ActionFailed) as raised:
        await there.result(timeout=20.0)
    status = RequestStatus.ABORTED if stopped_by == "cancel" else RequestStatus.FAILED
    assert raised.value.status is status
    before = await record_events(there)
    assert CLUNG.empty()

    assert await asyncio.to_thread(CLUNG.get, timeout=20.0) == (run.request_id, "RequestTerminalError")
    assert await record_events(there) == before
    record = await pair.backend_1.state.session("s").get()
    assert (record.version, record.state.get("count", 0)) == (1, 0)
    assert (await run.get()).status is status
    assert "ignores its cancellation" in caplog.text or action == "cling_in_thread"


async def test_an_action_error_speaks_to_the_client(ada: FlowStateClient) -> None:
    asked = {"code": "OUT_OF_STOCK", "message": "come back tomorrow", "retryable": True}
    failure = await _failure(await ada.flows.dispatch("ledger", "fail", asked))
    assert (failure.reason, failure.message) == ("OUT_OF_STOCK", "come back tomorrow")
    assert failure.retryable
    assert failure.details == {"why": "asked to"}
    assert not failure.error_id


async def test_an_action_error_without_a_code_is_action_failed(ada: FlowStateClient) -> None:
    failure = await _failure(await ada.flows.dispatch("ledger", "fail", {"code": ""}))
    assert failure.reason == "ACTION_FAILED"


async def test_any_other_exception_shows_only_an_id_that_is_in_the_log(
    ada: FlowStateClient, caplog: pytest.LogCaptureFixture
) -> None:
    run = await ada.flows.dispatch("ledger", "crash", {"text": SECRET})
    failure = await _failure(run)
    assert (failure.reason, failure.message) == ("INTERNAL", "the action failed")
    assert not failure.retryable
    (logged,) = [record for record in caplog.records if failure.error_id in record.getMessage()]
    assert logged.levelno == logging.ERROR
    assert logged.exc_info is not None
    assert SECRET in str(logged.exc_info[1])
    assert SECRET not in "".join(map(repr, await record_events(run)))


async def test_writes_before_a_failure_stay(ada: FlowStateClient, backend: FlowStateClient) -> None:
    run = await ada.flows.dispatch("ledger", "bump_and_crash", {}, session_id="s")
    assert (await _failure(run)).reason == "INTERNAL"
    assert (await backend.state.session("s").get()).state["count"] == 1


async def test_a_bad_input_stores_nothing(ada: FlowStateClient) -> None:
    with pytest.raises(ValidationFailed) as raised:
        await ada.flows.call("ledger", "bump", {"by": "5"}, session_id="s")
    assert [violation.field for violation in raised.value.field_violations] == ["spec.input/by"]
    assert [session async for session in ada.sessions.list(include_ephemeral=True)] == []


async def test_sync_handlers_write_from_their_threads(ada: FlowStateClient) -> None:
    counts = await asyncio.gather(
        *(ada.flows.call("ledger", "bump_in_thread", {}, session_id="s") for _ in range(20))
    )
    assert all(1 <= count <= 20 for count in counts)
    assert (await ada.sessions.snapshot("s")).client_data["session"]["count"] == 20


async def test_request_scope_is_gone_at_the_end(ada: FlowStateClient, backend: FlowStateClient) -> None:
    assert await ada.flows.call("ledger", "scratch", {"by": 3}, request_id="done", session_id="s") == 3
    assert not (await backend.state.request("done").get()).exists
    run = await holding(ada, session_id="s", request_id="r")
    scratch = backend.state.request("r")
    assert (await scratch.inc_state(steps=2)).version == 1
    assert (await scratch.get()).state["steps"] == 2
    assert "request" not in (await ada.sessions.snapshot("s")).client_data
    await run.cancel()
    with pytest.raises(ActionAborted):
        await run.result()
    after = await scratch.get()
    assert not after.exists
    assert after.state.get("steps", 0) == 0


async def test_a_flood_and_its_output_arrive_whole(ada: FlowStateClient) -> None:
    run = await ada.flows.dispatch("ledger", "flood", {"count": 100, "text": "x" * 10_000})
    events = [event for event in await record_events(run) if isinstance(event, CustomEvent)]
    assert [len(event.data["text"]) for event in events] == [10_000] * 100


async def test_a_large_output_is_left_out_of_the_terminal_event(ada: FlowStateClient) -> None:
    text = "x" * 100_000
    run = await ada.flows.dispatch("ledger", "echo", {"text": text})
    assert await run.result() == text
    last = (await record_events(run))[-1]
    assert getattr(last, "output_omitted", None) is True


async def test_runs_of_a_server_that_stops_end_interrupted(
    start_server: StartServer, shared_url: str
) -> None:
    stopping, other = [await start_server(app, store=shared_url, settings=QUICK) for _ in range(2)]
    async with stopping.connect(user="ada") as here, other.connect(user="ada") as there:
        run = await holding(here, session_id="s")
        tail = asyncio.create_task(record_events(there.flows.handle(run.request_id)))
        await stopping.stop()
        with pytest.raises(ActionInterrupted):
            await there.flows.handle(run.request_id).result(timeout=20.0)
        assert (await tail)[-1].type == "request.interrupted"
