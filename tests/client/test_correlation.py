"""Which call it was: ids under which the server logs, and what ``on_call`` is told."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import grpc
import pytest

from flowstate_client import (
    FinishedCall,
    FlowStateClient,
    NotFound,
    SessionNotFound,
    Unavailable,
    correlation_id,
)
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.testing.server import running_server
from flowstate_server.testing.waiting import until
from tests.client.conftest import FAST
from tests.client.fake_tails import Context as Call, refuse
from tests.client.fakes import FakeServer
from tests.client.server_thread import ServerThread
from tests.support.access_records import recorded_access


@handler
async def echo(text: str, ctx: Context) -> str:
    return text


ECHO = define_flow("echo", actions={"say": action(block=echo)})


async def test_the_server_logs_a_call_that_went_well_under_the_id_that_the_caller_knows() -> None:
    told: list[FinishedCall] = []
    with recorded_access() as access:
        async with running_server(ECHO) as server, server.connect(user="ada", on_call=told.append) as client:
            with correlation_id("order-17") as id:
                assert await client.flows.call("echo", "say", "x") == "x"
            with correlation_id() as made:
                run = await client.flows.dispatch("echo", "say", "x")
                async for _ in run.events():
                    pass
            await run.result()
            records = await access.count(4)
    logged = {vars(record)["correlation_id"] for record in records}
    assert id == "order-17"
    assert [(call.method, call.correlation_id) for call in told[:3]] == [
        ("FlowService/CallAction", "order-17"),
        ("FlowService/DispatchAction", made),
        ("EventService/TailEvents", made),
    ]
    assert {call.correlation_id for call in told} == logged
    assert {call.code for call in told} == {grpc.StatusCode.OK}
    assert all(0 <= call.seconds < 10 for call in told)
    assert len(told) == 4
    assert told[3].correlation_id not in ("order-17", made)


async def test_every_attempt_and_its_error_is_told(server: FakeServer) -> None:
    async def away(request: Any, context: Call) -> None:
        server.sessions.before = None
        await refuse(context, grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")

    told: list[FinishedCall] = []
    server.sessions.before = away
    async with FlowStateClient.connect(server.target, config=FAST, on_call=told.append) as client:
        await client.sessions.create("chat", user_id="u1")
        with pytest.raises(SessionNotFound):
            await client.sessions.get("nothing")
    assert [call.code.name for call in told] == ["UNAVAILABLE", "OK", "NOT_FOUND"]
    assert isinstance(told[0].error, Unavailable)
    assert told[0].correlation_id == told[1].correlation_id != told[2].correlation_id
    assert isinstance(told[2].error, NotFound)
    assert told[2].error.correlation_id == told[2].correlation_id


async def test_what_is_left_is_told_as_cancelled(server: FakeServer) -> None:
    async def hang(request: Any, context: Call) -> None:
        await asyncio.Event().wait()

    server.flows.before = hang
    told: list[FinishedCall] = []
    await server.events.log.append("a", "b")
    async with FlowStateClient.connect(server.target, config=FAST, on_call=told.append) as client:
        async with client.flows.handle("req_1").events() as events:
            await anext(events)
            assert told == []
        assert [(call.method, call.code.name) for call in told] == [("EventService/TailEvents", "CANCELLED")]
        task = asyncio.create_task(client.flows.handle("req_1").result())
        await until(lambda: server.flows.seen)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(told) > 1
    assert told[-1].code is grpc.StatusCode.CANCELLED
    assert told[-1].error is None


async def test_an_on_call_that_fails_is_logged(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    def fail(call: FinishedCall) -> None:
        raise LookupError(call.method)

    async with FlowStateClient.connect(server.target, config=FAST, on_call=fail) as client:
        with caplog.at_level(logging.ERROR, "flowstate_client"):
            assert (await client.server.info()).version == "0.9.0"
    assert caplog.messages == ["on_call has failed for ServerService/GetServerInfo"]


async def test_tasks_keep_their_ids_apart(server: FakeServer, client: FlowStateClient) -> None:
    server.flows.complete("x")

    async def call(id: str) -> None:
        with correlation_id(id):
            await asyncio.sleep(0)
            await client.flows.call("f", "a", request_id=id)

    await asyncio.gather(*(call(f"call-{number}") for number in range(20)))
    sent = {
        request.spec.request_id: metadata["x-correlation-id"]
        for request, metadata in zip(server.flows.seen, server.flows.metadata, strict=True)
    }
    assert len(sent) == 20
    assert all(request_id == given for request_id, given in sent.items())


@pytest.mark.parametrize("wrong", ["", "a b", "x" * 129, "é", "a\n", 5])
def test_what_the_server_would_not_log_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=re.escape("1 to 128 letters, digits or of . _ : / + = @ -")):
        with correlation_id(wrong):
            pass


def test_the_synchronous_client_has_them_too() -> None:
    told: list[FinishedCall] = []
    with ServerThread() as server, server.connect(user="ada", on_call=told.append) as client:
        with correlation_id("from a thread".replace(" ", "-")):
            client.flows.call("chat", "say", "x")
            list(client.flows.stream("chat", "say", "x"))
    assert [call.method for call in told] == ["FlowService/CallAction", "FlowService/StreamAction"]
    assert {call.correlation_id for call in told} == {"from-a-thread"}
