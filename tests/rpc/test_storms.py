"""More callers at once than the server takes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc import aio

from flowstate.v1.event_service_pb2 import TailEventsRequest
from flowstate.v1.event_service_pb2_grpc import EventServiceStub
from flowstate.v1.flow_service_pb2 import DispatchActionRequest
from flowstate.v1.flow_service_pb2_grpc import FlowServiceStub
from flowstate_server.errors import Reason
from flowstate_server.settings import ServerSettings
from tests.support.served import Served, served, spec
from tests.support.wire import read_refusal

# Connections: one of gRPC's has a thousand streams at most.
CHANNELS = 3


@pytest.mark.parametrize("limit", [50, 5_000])
async def test_a4_calls_beyond_the_limit_are_told_when_to_come(limit: int) -> None:
    async with served(ServerSettings(max_unary_calls=limit)) as server, _channels(server) as channels:
        stubs: list[Any] = [FlowServiceStub(channel) for channel in channels]
        outcomes = await asyncio.gather(
            *(
                _outcome(stubs[n % CHANNELS].DispatchAction(DispatchActionRequest(spec=spec(text="x"))))
                for n in range(2_000)
            )
        )
    assert set(outcomes) <= {None, Reason.RATE_LIMITED}, Counter(outcomes)
    assert None in outcomes


async def test_a4_tails_beyond_the_limit_are_told_when_to_come() -> None:
    options = ServerSettings(max_streams_per_principal=200)
    async with served(options) as server, _channels(server) as channels:
        await server.flows.DispatchAction(DispatchActionRequest(spec=spec("hold", request_id="r1")))
        stubs: list[Any] = [EventServiceStub(channel) for channel in channels]
        outcomes = await asyncio.gather(
            *(
                _outcome(stubs[n % CHANNELS].TailEvents(TailEventsRequest(request_id="r1")).read())
                for n in range(2_500)
            )
        )
        server.gate.opened.set()
    assert set(outcomes) == {None, Reason.TOO_MANY_STREAMS}, Counter(outcomes)


@asynccontextmanager
async def _channels(server: Served) -> AsyncIterator[list[aio.Channel]]:
    own = [("grpc.use_local_subchannel_pool", 1)]
    async with AsyncExitStack() as opened:
        yield [
            await opened.enter_async_context(aio.insecure_channel(server.address, own))
            for _ in range(CHANNELS)
        ]


async def _outcome(call: Any) -> Reason | None:
    """Why the call is refused; ``None`` where it is not. A refusal has to say when to come."""
    try:
        await call
    except aio.AioRpcError as error:
        refusal = read_refusal(error)
        assert refusal.detail(RetryInfo).retry_delay.ToTimedelta(), refusal
        return refusal.reason
    return None
