"""A request id makes a call repeatable: equal calls attach to one run, others are refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowstate_client import (
    ActionFailed,
    ActionInterrupted,
    AlreadyExists,
    CustomEvent,
    FlowStateClient,
    RequestStatus,
    RequestTerminal,
    StateChange,
)
from flowstate_client.testing import record_events
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.server import RunningServer
from tests.support.fleets import Pair
from tests.support.flows import app
from tests.support.runs import holding


async def test_a_repeat_attaches_to_the_finished_run(ada: FlowStateClient, backend: FlowStateClient) -> None:
    first = await ada.flows.dispatch("ledger", "bump", {"by": 5}, session_id="s", request_id="r")
    assert await first.result(int) == 1
    again = await ada.flows.dispatch("ledger", "bump", {"by": 5}, session_id="s", request_id="r")
    assert (first.attached, again.attached) == (False, True)
    assert (await again.get()).status is RequestStatus.COMPLETED
    assert await ada.flows.call("ledger", "bump", {"by": 5}, session_id="s", request_id="r") == 1
    assert [event.type for event in await record_events(again)] == [
        event.type for event in await record_events(first)
    ]
    assert (await backend.state.session("s").get()).state["count"] == 5


async def test_a_repeat_attaches_to_the_running_one_and_to_the_failed_one(ada: FlowStateClient) -> None:
    run = await holding(ada, session_id="s", request_id="r")
    again = await ada.flows.dispatch("ledger", "hold", {}, session_id="s", request_id="r")
    assert again.attached
    assert (await again.get()).status is RequestStatus.IN_PROGRESS
    await again.cancel("enough")
    for handle in (run, again):
        with pytest.raises(ActionFailed, match="ABORTED"):
            await handle.result()
    for _ in range(2):
        with pytest.raises(ActionFailed, match="NO_WAY: not today"):
            await ada.flows.call("ledger", "fail", {}, session_id="s", request_id="f")


async def test_concurrent_equal_calls_run_once(pair: Pair) -> None:
    """Two servers get the same call twenty times at once, into a session that does not exist yet."""
    answers = await asyncio.gather(
        *(
            (pair.ada_0, pair.ada_1)[n % 2].flows.call("ledger", "bump", {}, session_id="s", request_id="r")
            for n in range(20)
        )
    )
    assert answers == [1] * 20
    assert (await pair.backend_1.state.session("s").get()).state["count"] == 1


OTHERS: dict[str, dict[str, Any]] = {
    "input": {"input": {"by": 2}},
    "input as sent": {"input": {"by": 1, "scope": "session"}},
    "action": {"action": "swap"},
    "flow": {"flow_kind": "other", "session_id": "another"},
    "session": {"session_id": "another"},
    "no session": {"session_id": None},
    "timeout": {"execution_timeout": 5.0},
}


@pytest.mark.parametrize("other", OTHERS)
async def test_another_call_under_the_same_request_id_is_refused(
    ada: FlowStateClient, backend: FlowStateClient, other: str
) -> None:
    call: dict[str, Any] = {
        "flow_kind": "ledger",
        "action": "bump",
        "input": {"by": 1},
        "session_id": "s",
        "request_id": "r",
    }
    await ada.flows.call(**call)
    with pytest.raises(AlreadyExists) as raised:
        await ada.flows.call(**(call | OTHERS[other]))
    assert raised.value.reason == "REQUEST_ALREADY_EXISTS"
    assert (await backend.state.session("s").get()).state["count"] == 1


async def test_another_users_request_id_is_taken(ada: FlowStateClient, server: RunningServer) -> None:
    await ada.flows.call("ledger", "echo", {"text": "secret"}, request_id="r")
    async with server.connect(user="eve") as eve:
        with pytest.raises(AlreadyExists) as raised:
            await eve.flows.call("ledger", "echo", {"text": "secret"}, request_id="r")
    assert "secret" not in str(raised.value)
    async with server.connect(user="ada", tenant="t2") as elsewhere:
        assert await elsewhere.flows.call("ledger", "echo", {"text": "mine"}, request_id="r") == "mine"


async def test_a_repeat_attaches_to_an_interrupted_run(start_server: StartServer, durable_url: str) -> None:
    """The first server stops amid the run; the second one does not run it again."""
    first = await start_server(app, store=durable_url)
    async with first.connect(user="ada") as ada:
        await holding(ada, session_id="s", request_id="r")
        await first.stop()
    second = await start_server(app, store=durable_url)
    async with second.connect(user="ada") as ada:
        run = await ada.flows.dispatch("ledger", "hold", {}, session_id="s", request_id="r")
        assert run.attached
        with pytest.raises(ActionInterrupted):
            await run.result(timeout=10.0)


async def test_a_commit_on_behalf_of_a_running_request_lands_in_its_log(pair: Pair) -> None:
    """Written at one server for a request that runs at the other."""
    run = await holding(pair.ada_0, session_id="s", request_id="r")
    async with pair.backend_1.state.batch(request_id="r") as batch:
        batch.session("s").inc_state(count=7)
        batch.user("ada", flow_kind="ledger").inc_state(count=8)
    await pair.backend_0.state.user("ada", flow_kind="ledger").inc_state(count=1)  # on nobody's behalf
    await run.cancel()
    events = await record_events(pair.backend_1.flows.handle("r"))
    changes = [(e.scope.value, e.changed) for e in events if isinstance(e, StateChange)]
    assert changes == [("session", {"/f0": 1}), ("session", {"/count": 7}), ("user", {"/count": 8})]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))

    with pytest.raises(RequestTerminal):
        await pair.backend_1.state.session("s").on_behalf_of("r").inc_state(count=1)
    assert (await pair.backend_1.state.session("s").get()).state["count"] == 7


async def test_events_of_one_run_are_committed_in_the_order_of_emission(ada: FlowStateClient) -> None:
    run = await ada.flows.dispatch("ledger", "flood", {"count": 2000})
    ticks = [event.data["n"] for event in await record_events(run) if isinstance(event, CustomEvent)]
    assert ticks == list(range(2000))
