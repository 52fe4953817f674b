"""How much a server takes on at once, and how it lets go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from flowstate.v1.event_service_pb2 import TailEventsResponse
from flowstate.v1.server_service_pb2 import GetServerInfoRequest
from flowstate_server.errors import Reason
from flowstate_server.settings import ServerSettings
from tests.support.access_records import AccessRecords, recorded_access
from tests.support.enveloped import FRAME, Enveloped, enveloped, method
from tests.support.served import served
from tests.support.wire import refused, refused_stream


async def _open(
    server: Enveloped, number: int = 1, **options: Any
) -> list[aio.UnaryStreamCall[bytes, bytes]]:
    calls = [server.stream(**options) for _ in range(number)]
    for call in calls:
        await call.read()
    return calls


async def _follow(request: Any, context: Any) -> AsyncIterator[TailEventsResponse]:
    yield FRAME
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("limits", "other"),
    [
        (ServerSettings(max_streams=2), {"metadata": (("x-tenant-id", "b"),)}),
        (ServerSettings(max_streams_per_tenant=2), {"metadata": (("x-flowstate-user", "u"),)}),
        (ServerSettings(max_streams_per_principal=2), {}),
    ],
)
async def test_too_many_streams(limits: ServerSettings, other: dict[str, Any]) -> None:
    async with enveloped(stream=_follow, settings=limits) as server:
        first, _ = await _open(server, 2)
        refusal = await refused_stream(server.stream(**other))
        assert refusal.reason is Reason.TOO_MANY_STREAMS
        assert refusal.metadata["limit"] == "2"
        with recorded_access() as access:
            first.cancel()
            await access.count(1)
        await _open(server, **other)


async def test_limits_are_not_shared_beyond_what_they_count() -> None:
    limits = ServerSettings(max_streams_per_tenant=2, max_streams_per_principal=1)
    async with enveloped(stream=_follow, settings=limits) as server:
        await _open(server)
        await _open(server, metadata=(("x-flowstate-user", "u"),))
        await _open(server, metadata=(("x-tenant-id", "b"),))


async def test_too_many_unary_calls() -> None:
    began = asyncio.Event()

    async def wait() -> None:
        began.set()
        await asyncio.Event().wait()

    async with enveloped(**method("unary", wait), settings=ServerSettings(max_unary_calls=1)) as server:
        waiting = server.unary()
        await began.wait()
        refusal = await refused(server.unary())
        assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        waiting.cancel()


async def test_health_answers_when_nothing_else_does() -> None:
    async with served(ServerSettings(max_unary_calls=0, max_streams=0)) as server:
        assert (
            await refused(server.info.GetServerInfo(GetServerInfoRequest()))
        ).reason is Reason.RATE_LIMITED
        health: Any = HealthStub(server.channel)
        await health.Check(HealthCheckRequest())
        assert await health.Watch(HealthCheckRequest()).read()


async def test_a_drain_ends_open_streams_and_refuses_new_ones(access: AccessRecords) -> None:
    async with enveloped(stream=_follow, **method("unary", lambda: asyncio.sleep(0))) as server:
        calls = await _open(server, 5)
        server.admission.drain(0.05)
        await server.admission.streams_end()
        refusals = [await refused_stream(call) for call in [*calls, server.stream()]]
        assert {refusal.reason for refusal in refusals} == {Reason.SERVER_DRAINING}
        await server.unary()
        records = await access.count(7)
    assert [vars(record)["code"] for record in records] == ["UNAVAILABLE"] * 6 + ["OK"]


async def test_unary_calls_that_outlast_the_drain_are_told() -> None:
    began = asyncio.Event()

    async def wait() -> None:
        began.set()
        await asyncio.Event().wait()

    async with enveloped(**method("unary", wait)) as server:
        call = server.unary()
        await began.wait()
        server.admission.expire()
        assert (await refused(call)).reason is Reason.SERVER_DRAINING
