"""Calling actions: results, failures, waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from flowstate.v1 import flow_service_pb2, types_pb2
from flowstate_client import (
    ActionAborted,
    ActionFailed,
    ActionInterrupted,
    ApiError,
    ConnectError,
    DeadlineExceeded,
    FlowStateClient,
    FlowStateError,
    RequestNotFound,
    RequestStatus,
    ResponseValidationError,
    Unavailable,
)
from flowstate_client.testing import FaultProxy
from tests.client.fake_tails import json_value, refuse
from tests.client.fakes import FakeServer
from tests.support.ports import lasting_port


class Say(BaseModel):
    message: str
    times: int = 1


@dataclass
class Answer:
    text: str


class Typed(TypedDict):
    text: str


async def test_call_sends_and_returns_typed_values(server: FakeServer, client: FlowStateClient) -> None:
    server.flows.complete({"text": "hello"})
    answer = await client.flows.call("chat", "say", Say(message="hi"), session_id="s", output=Answer)
    assert answer == Answer("hello")
    spec = server.flows.seen[0].spec
    assert (spec.flow_kind, spec.action, spec.session_id, spec.user_id) == ("chat", "say", "s", "u1")
    assert spec.input.json == '{"message":"hi","times":1}'
    assert (await client.flows.call("chat", "say", Answer("x"), output=Typed))["text"] == "hello"
    assert await client.flows.call("chat", "say", {"a": 1}) == {"text": "hello"}
    assert await client.flows.call("chat", "say", None, output=dict[str, str] | None) == {"text": "hello"}
    assert [request.spec.input.json for request in server.flows.seen[1:]] == [
        '{"text":"x"}',
        '{"a":1}',
        "null",
    ]
    await client.flows.dispatch("chat", "say")
    assert not server.flows.seen[-1].spec.HasField("input")


async def test_call_repeats_until_it_is_done(server: FakeServer, client: FlowStateClient) -> None:
    async def before(request: Any, context: Any) -> None:
        if len(server.flows.seen) == 2:
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
        if len(server.flows.seen) == 3:
            server.flows.complete("ok")

    server.flows.before = before
    assert await client.flows.call("chat", "say", output=str) == "ok"
    assert len(server.flows.seen) == 3
    assert all(request == server.flows.seen[0] for request in server.flows.seen)


async def test_giving_up_leaves_the_run_alone(server: FakeServer, client: FlowStateClient) -> None:
    with pytest.raises(TimeoutError, match=r"req_.* goes on"):
        await client.flows.call("chat", "say", timeout=0.2)
    with pytest.raises(TimeoutError, match="req_9"):
        await client.flows.handle("req_9").result(timeout=0.2)
    assert not server.flows.request.cancel_requested


async def test_result_waits_and_survives_a_restart(
    server: FakeServer, proxy: FaultProxy, proxied: FlowStateClient
) -> None:
    hanging = asyncio.Event()

    async def hang_once(request: Any, context: Any) -> None:
        if isinstance(request, flow_service_pb2.WaitActionRequestRequest) and len(server.flows.seen) == 2:
            hanging.set()
            await asyncio.Event().wait()

    server.flows.before = hang_once
    run = await proxied.flows.dispatch("chat", "say")
    assert (run.session_id, run.attached) == ("sess_1", False)
    result = asyncio.create_task(run.result(int, timeout=20))
    await hanging.wait()
    server.flows.complete(42)
    await proxy.refuse()
    await proxy.accept()
    assert await result == 42
    assert server.flows.seen[1].timeout.seconds > 10


async def test_a_failed_run_is_not_an_api_error(server: FakeServer, client: FlowStateClient) -> None:
    request = server.flows.request
    server.flows.done = True
    request.status = flow_service_pb2.ACTION_REQUEST_STATUS_FAILED
    request.failure.CopyFrom(
        types_pb2.Failure(
            reason="OUT_OF_STOCK", message="no apples", details=json_value({"left": 0}), retryable=True
        )
    )
    for attempt in (
        client.flows.handle("req_1").result(str),
        client.flows.call("chat", "say", request_id="req_1"),
    ):
        with pytest.raises(ActionFailed, match=r"OUT_OF_STOCK: no apples \(request req_1\)") as caught:
            await attempt
        assert not isinstance(caught.value, ApiError)
        assert isinstance(caught.value, FlowStateError)
        failure = caught.value.failure
        assert (failure.reason, failure.details, failure.retryable) == ("OUT_OF_STOCK", {"left": 0}, True)


@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (flow_service_pb2.ACTION_REQUEST_STATUS_ABORTED, "ABORTED", ActionAborted),
        (flow_service_pb2.ACTION_REQUEST_STATUS_INTERRUPTED, "INTERRUPTED", ActionInterrupted),
    ],
)
async def test_other_endings(
    server: FakeServer, client: FlowStateClient, status: Any, name: str, expected: Any
) -> None:
    server.flows.done = True
    server.flows.request.status = status
    run = client.flows.handle("req_1")
    with pytest.raises(expected, match=rf"^{name} \(request req_1\)$") as caught:
        await run.result()
    assert caught.value.status.ended
    server.flows.request.stop_reason = "changed my mind"
    with pytest.raises(expected, match=r": changed my mind \(request req_1\)$") as caught:
        await run.result()
    assert caught.value.failure.message == "changed my mind"
    assert (await run.get()).stop_reason == "changed my mind"


async def test_an_output_that_does_not_fit_keeps_its_text(
    server: FakeServer, client: FlowStateClient
) -> None:
    server.flows.complete({"text": 5})
    with pytest.raises(ResponseValidationError) as caught:
        await client.flows.call("chat", "say", output=Answer)
    assert caught.value.raw == b'{"text": 5}'
    assert caught.value.expected is Answer


async def test_get_and_cancel(server: FakeServer, client: FlowStateClient) -> None:
    run = client.flows.handle("req_1")
    record = await run.get()
    assert record.status is RequestStatus.IN_PROGRESS
    assert run.session_id == "sess_1"
    assert (await run.cancel("enough")).cancel_requested
    assert server.flows.seen[-1].reason == "enough"


async def test_a_request_that_is_not_there(server: FakeServer, client: FlowStateClient) -> None:
    async def unknown(request: Any, context: Any) -> None:
        await refuse(context, grpc.StatusCode.NOT_FOUND, "REQUEST_NOT_FOUND")

    server.flows.before = unknown
    run = client.flows.handle("nothing")
    for call in (run.get(), run.result(), run.cancel()):
        with pytest.raises(RequestNotFound):
            await call


async def test_what_cannot_be_sent_is_refused_at_the_call(
    server: FakeServer, client: FlowStateClient
) -> None:
    for method in (client.flows.dispatch, client.flows.call):
        with pytest.raises(ValueError, match="/a/1: the number is not finite"):
            await method("chat", "say", {"a": [1, float("nan")]})
    with pytest.raises(ValueError, match="/a"):
        client.flows.stream("chat", "say", {"a": object()})
    with pytest.raises(ValueError, match="at most 4194304"):
        await client.flows.dispatch("chat", "say", "x" * (5 << 20))
    with pytest.raises(ValueError, match="surrogate"):
        await client.flows.dispatch("chat", "say", session_id="\ud800")
    assert server.flows.seen == []


async def test_flows_are_listed_in_pages(server: FakeServer, client: FlowStateClient) -> None:
    pager = client.flows.list(page_size=2)
    assert [flow.flow_kind async for flow in pager] == [f"flow-{number}" for number in range(5)]
    assert [len(page.items) async for page in pager.pages()] == [2, 2, 1]
    assert pager.next_page_token == ""
    first = await pager.first()
    assert first is not None
    assert first.flow_kind == "flow-0"
    assert pager.next_page_token == "2"
    rest = client.flows.list(page_size=2, page_token=pager.next_page_token)
    assert [flow.flow_kind async for flow in rest] == ["flow-2", "flow-3", "flow-4"]
    assert (await client.flows.get("flow-0")).flow_kind == "flow-0"
    server.flows.flows.clear()
    assert await client.flows.list().first() is None


async def test_w1_nobody_there_is_said_as_a_dispatch_says_it() -> None:
    async with FlowStateClient.connect(f"127.0.0.1:{lasting_port()}", user="u") as client:
        for attempt in (
            client.flows.call("chat", "say", timeout=0.5),
            client.flows.dispatch("chat", "say", timeout=0.5),
            client.flows.handle("req_9").result(timeout=0.5),
        ):
            with pytest.raises(ConnectError) as caught:
                await attempt
            assert "goes on" not in str(caught.value)


@pytest.mark.parametrize("refusal", ["STORE_UNAVAILABLE", "SERVER_DRAINING"])
async def test_w1_a_run_that_no_server_took_does_not_go_on(
    server: FakeServer, client: FlowStateClient, refusal: str
) -> None:
    async def refused(request: Any, context: Any) -> None:
        await refuse(context, grpc.StatusCode.UNAVAILABLE, refusal)

    server.flows.before = refused
    for attempt in (
        client.flows.call("chat", "say", timeout=0.5),
        client.flows.handle("r").result(timeout=0.5),
    ):
        with pytest.raises(Unavailable) as caught:
            await attempt
        assert caught.value.reason == refusal


async def test_w1_a_server_that_answers_nothing(server: FakeServer, client: FlowStateClient) -> None:
    async def hang(request: Any, context: Any) -> None:
        await asyncio.Event().wait()

    server.flows.before = hang
    with pytest.raises(DeadlineExceeded):
        await client.flows.call("chat", "say", timeout=0.2)


async def test_w1_a_run_that_was_acknowledged_goes_on(
    server: FakeServer, proxy: FaultProxy, proxied: FlowStateClient
) -> None:
    run = await proxied.flows.dispatch("chat", "say")
    await proxy.refuse()
    with pytest.raises(TimeoutError, match="goes on"):
        await run.result(timeout=0.5)
