"""What is repeated, with which id, and for how long."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from flowstate_client import (
    ApiError,
    ClientClosedError,
    ClientConfig,
    ConnectError,
    FlowStateClient,
    RateLimited,
    SessionNotFound,
    Unavailable,
    VersionMismatch,
    waiting,
)
from flowstate_client.channel import read_methods
from flowstate_client.config import Backoff
from flowstate_client.ids import new_request_id
from flowstate_client.retry import Outage
from flowstate_client.testing import FaultProxy, GrpcProxy
from flowstate_server.testing.waiting import until
from tests.client.conftest import FAST
from tests.client.fake_tails import refuse
from tests.client.fakes import FakeServer
from tests.support.ports import lasting_port


def failing(times: int, *refusal: Any, **more: Any) -> Callable[[Any, Any], Awaitable[None]]:
    """Refuses the first ``times`` calls."""
    left = times

    async def before(request: Any, context: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            await refuse(context, *refusal, **more)

    return before


UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")


def test_ids_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    made: list[str] = []
    for milliseconds in range(100):
        monkeypatch.setattr(time, "time_ns", lambda at=milliseconds: now + at * 1_000_000)
        made.append(new_request_id())
    assert made == sorted(made)
    assert re.fullmatch(r"req_[0-9a-hjkmnp-tv-z]{26}", made[0])


async def test_a_deletion_whose_answer_was_lost_has_deleted(
    server: FakeServer, client: FlowStateClient
) -> None:
    """The first attempt did it: the second finds nothing, and that is fine; a first one that finds nothing is not."""
    session = await client.sessions.create("chat")
    server.sessions.after_delete = failing(1, *UNAVAILABLE)
    await client.sessions.delete(session.id, at=1)
    first, second = server.sessions.seen[-2:]
    assert (first.allow_missing, second.allow_missing) == (False, True)
    assert first.precondition.version == second.precondition.version == 1
    with pytest.raises(SessionNotFound):
        await client.sessions.delete(session.id)
    await client.sessions.delete(session.id, allow_missing=True)


async def test_a_dispatch_is_repeated_with_its_id(server: FakeServer, client: FlowStateClient) -> None:
    server.flows.before = failing(6, *UNAVAILABLE)
    run = await client.flows.dispatch("chat", "say", {"message": "hi"})
    assert len(server.flows.seen) == 7
    assert all(request == server.flows.seen[0] for request in server.flows.seen)
    assert run.request_id == server.flows.seen[0].spec.request_id
    again = await client.flows.dispatch("chat", "say", {"message": "hi"})
    assert again.request_id != run.request_id


async def test_attempts_of_one_call_share_a_correlation_id(
    server: FakeServer, client: FlowStateClient
) -> None:
    server.flows.before = failing(1, *UNAVAILABLE)
    await client.flows.dispatch("chat", "say")
    one, two = (metadata["x-correlation-id"] for metadata in server.flows.metadata)
    assert one == two


async def test_a_commit_is_repeated_with_its_key(server: FakeServer, client: FlowStateClient) -> None:
    server.state.before_commit = failing(2, *UNAVAILABLE)
    await client.state.session("s").patch_state(mode="agent")
    await client.state.session("s").patch_state(mode="agent")
    keys = [request.idempotency_key for request in server.state.seen]
    assert keys[0].startswith("idem_")
    assert keys[0] == keys[1] == keys[2] != keys[3]


async def test_a_session_is_created_once_though_the_answer_was_lost(
    server: FakeServer, proxy: FaultProxy, proxied: FlowStateClient
) -> None:
    async def lose_the_answer(context: Any) -> None:
        server.sessions.after_create = None
        proxy.cut()

    server.sessions.after_create = lose_the_answer
    session = await proxied.sessions.create("chat", user_id="u1", title="t")
    assert len(server.sessions.sessions) == 1
    assert (session.id, session.title) == ("sess_1", "t"), (
        "a replay holds no more than the id: it is read again"
    )


async def test_a_refused_connection_is_repeated(
    server: FakeServer, proxy: FaultProxy, proxied: FlowStateClient
) -> None:
    await proxy.refuse()
    creating = asyncio.create_task(proxied.sessions.create("chat"))
    assert proxied._open is not None
    channel = proxied._open.caller.channels.unary
    await until(lambda: channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE)
    assert not creating.done()
    await proxy.accept()
    assert (await creating).id == "sess_1"


async def test_reads_are_repeated_by_grpc(server: FakeServer, client: FlowStateClient) -> None:
    await client.sessions.create("chat")
    server.sessions.seen.clear()
    server.sessions.before = failing(3, *UNAVAILABLE)
    assert (await client.sessions.get("sess_1")).id == "sess_1"
    assert len(server.sessions.seen) == 4
    server.sessions.before = failing(100, *UNAVAILABLE)
    server.sessions.seen.clear()
    with pytest.raises(Unavailable):
        await client.sessions.get("sess_1")
    assert len(server.sessions.seen) == FAST.read_attempts


async def test_a_read_that_a_stopping_server_cancelled_is_repeated(
    server: FakeServer, client: FlowStateClient
) -> None:
    session = await client.sessions.create("chat")
    left = [grpc.StatusCode.CANCELLED] * 3

    async def before(request: Any, context: Any) -> None:
        if left:
            await context.abort(left.pop(), "CANCELLED")

    server.sessions.before = before
    assert (await client.sessions.get(session.id)).id == session.id
    assert not left


def test_reads_are_what_the_contract_declares_free_of_side_effects() -> None:
    methods = set(read_methods())
    assert ("flowstate.v1.FlowService", "GetFlow") in methods
    assert ("flowstate.v1.StateService", "GetState") in methods
    names = {method for _, method in methods}
    assert not names & {"DispatchAction", "CommitState", "CreateSession", "TailEvents", "CancelActionRequest"}


@pytest.mark.parametrize(
    "refusal",
    [
        (grpc.StatusCode.ABORTED, "VERSION_MISMATCH"),
        (grpc.StatusCode.ABORTED, "WRITE_CONFLICT"),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "STATE_TOO_LARGE"),
        (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_TERMINAL"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_BUDGET_EXHAUSTED"),
        (grpc.StatusCode.UNKNOWN, ""),
    ],
)
async def test_what_will_fail_again_is_not_repeated(
    server: FakeServer, client: FlowStateClient, refusal: tuple[grpc.StatusCode, str]
) -> None:
    server.state.before_commit = failing(100, *refusal)
    with pytest.raises(ApiError):
        await client.state.session("s").at(3).patch_state(mode="agent")
    assert len(server.state.seen) == 1


async def test_throttling_is_repeated_when_the_server_says_when(
    server: FakeServer, client: FlowStateClient
) -> None:
    server.state.before_commit = failing(
        1, grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=0.2
    )
    began = time.monotonic()
    await client.state.session("s").patch_state(mode="agent")
    assert time.monotonic() - began >= 0.2
    server.state.before_commit = failing(1, grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    with pytest.raises(RateLimited):
        await client.state.session("s").patch_state(mode="agent")


async def test_the_deadline_is_for_all_attempts_together(server: FakeServer, client: FlowStateClient) -> None:
    server.flows.before = failing(10_000, *UNAVAILABLE)
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        await client.flows.dispatch("chat", "say", timeout=0.5)
    assert 0.25 < time.monotonic() - began < 1.5
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert len(server.flows.seen) > 4


async def test_a_wait_beyond_the_deadline_is_not_begun(server: FakeServer, client: FlowStateClient) -> None:
    server.flows.before = failing(10_000, *UNAVAILABLE, retry_after=60.0)
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        await client.flows.dispatch("chat", "say", timeout=5)
    assert caught.value.retry_after == 60
    assert time.monotonic() - began < 4


async def test_a_hanging_server_meets_the_deadline(server: FakeServer, client: FlowStateClient) -> None:
    async def hang(request: Any, context: Any) -> None:
        await asyncio.Event().wait()

    server.flows.before = hang
    with pytest.raises(TimeoutError):
        await client.flows.dispatch("chat", "say", timeout=0.2)


def test_the_pauses_of_an_outage() -> None:
    backoff = Backoff(initial=1.0, multiplier=2.0, maximum=8.0)
    outage = Outage(backoff, budget=None, healthy_after=0.0)
    for ceiling in (1.0, 2.0, 4.0, 8.0, 8.0):
        pause = outage.failed()
        assert pause is not None
        assert 0 <= pause <= ceiling
    assert (outage.failed(retry_after=20.0) or 0) >= 20
    outage.over()
    assert (outage.failed() or 0) <= 1.0, "a healthy time begins anew"
    assert Outage(backoff, budget=5.0).failed(retry_after=6.0) is None


async def test_the_log_is_told_once_that_a_server_is_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_UNNOTICED", 0.1)
    target = f"127.0.0.1:{lasting_port()}"
    async with FlowStateClient.connect(target, user="u1", config=FAST) as client:

        async def follow() -> None:
            async for _ in client.flows.handle("r").events(max_outage=0.5):
                raise AssertionError

        calls = [
            client.sessions.create("chat", session_id="s"),
            client.flows.call("chat", "say", timeout=0.5),
            follow(),
        ]
        for call in calls:
            caplog.clear()
            client._opened.caller.channels.waiting._told = None
            with pytest.raises(ConnectError):
                await asyncio.wait_for(call, 20)
            told = [record for record in caplog.records if record.levelname == "WARNING"]
            assert [record.name for record in told] == ["flowstate_client"]
            assert (
                told[0].getMessage().startswith(f"waiting for the server at {target}, which has not answered")
            )


def test_waiting_is_told_once_a_minute_and_of_nothing_else(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("flowstate_client.waiting.time.monotonic", lambda: now)
    absent, told = ConnectError("refused"), waiting.Waiting("a:1")
    told.notice(absent, 2.9)
    told.notice(Unavailable("the store is away"), 60.0)
    assert not caplog.messages
    for _ in range(3):
        told.notice(absent, 3.0)
    assert caplog.messages == ["waiting for the server at a:1, which has not answered for 3 s"]
    now += 61
    told.notice(absent, 64.0)
    assert len(caplog.messages) == 2


async def test_cancelling_a_call_is_a_cancellation(server: FakeServer, client: FlowStateClient) -> None:
    arrived = asyncio.Event()

    async def hang(request: Any, context: Any) -> None:
        arrived.set()
        await asyncio.Event().wait()

    server.flows.before = hang
    task = asyncio.create_task(client.flows.dispatch("chat", "say"))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_the_client_is_not_a_cancellation(server: FakeServer, client: FlowStateClient) -> None:
    arrived = asyncio.Event()

    async def hang(request: Any, context: Any) -> None:
        arrived.set()
        await asyncio.Event().wait()

    server.flows.before = hang
    task = asyncio.create_task(client.flows.dispatch("chat", "say"))
    await arrived.wait()
    await client.close()
    with pytest.raises(ClientClosedError):
        await task
    with pytest.raises(ClientClosedError):
        await client.flows.dispatch("chat", "say")


async def test_a_client_is_used_inside_async_with(server: FakeServer) -> None:
    client = FlowStateClient.connect(server.target)
    with pytest.raises(ClientClosedError, match="async with"):
        _ = client.flows
    async with client:
        await client.ready()
    await client.close()


async def test_a_unary_call_through_the_grpc_proxy_keeps_status_and_metadata(server: FakeServer) -> None:
    server.state.before_commit = failing(1, grpc.StatusCode.ABORTED, "VERSION_MISMATCH", current="4")
    async with (
        GrpcProxy(server.target) as proxy,
        FlowStateClient.connect(proxy.target, tenant="acme", config=FAST) as client,
    ):
        with pytest.raises(VersionMismatch) as caught:
            await client.state.session("s").patch_state(mode="agent")
        assert caught.value.current_version == 4
        await client.flows.dispatch("chat", "say")
        assert server.flows.metadata[0]["x-tenant-id"] == "acme"
        assert proxy.calls == [
            "/flowstate.v1.StateService/CommitState",
            "/flowstate.v1.FlowService/DispatchAction",
        ]
        assert proxy.open == 0


async def test_an_answer_cut_in_the_middle_is_a_connect_error(
    server: FakeServer, proxy: FaultProxy, proxied: FlowStateClient
) -> None:
    async def lose(request: Any, context: Any) -> None:
        proxy.cut()

    server.flows.before = lose
    with pytest.raises(ConnectError):
        await proxied.flows.dispatch("chat", "say", timeout=0.4)
    assert len({request.spec.request_id for request in server.flows.seen}) == 1


def test_a_config_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout"):
        ClientConfig(timeout=0)
    with pytest.raises(ValueError, match="read_attempts"):
        ClientConfig(read_attempts=9)
