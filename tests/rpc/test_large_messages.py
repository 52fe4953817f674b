"""JSON that takes long to read keeps nobody else waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from grpc import aio

from flowstate.v1 import session_service_pb2 as sessions, state_service_pb2 as states
from flowstate.v1.session_service_pb2_grpc import SessionServiceStub
from flowstate.v1.state_service_pb2_grpc import StateServiceStub
from flowstate.v1.types_pb2 import ScopeRef, Value
from flowstate_client import FlowStateClient
from flowstate_server.errors import Reason
from flowstate_server.testing.server_process import server_process
from tests.support.ticking_flow import KIND
from tests.support.wire import TRUSTED, read_refusal

TEXT = f"[{'0,' * 1_700_000}]"
"""Wrong at its end; to find out what is wrong takes a second or more."""
MEANWHILE = 40
"""Right calls that are answered until then. Measured: 150 to 600, and 4 to 11 where the event loop reads it."""


def _create(channel: aio.Channel) -> Any:
    session = sessions.Session(session_id="s2", flow_kind=KIND, user_id="u", metadata=Value(json=TEXT))
    return SessionServiceStub(channel).CreateSession(sessions.CreateSessionRequest(session=session))


def _commit(channel: aio.Channel) -> Any:
    request = states.CommitStateRequest()
    request.mutations.add(scope=ScopeRef(session_id="s")).ops.add(path="/x").set.json = TEXT
    stub: Any = StateServiceStub(channel)
    return stub.CommitState(request, metadata=TRUSTED)


@pytest.mark.parametrize("call", [_create, _commit])
async def test_others_are_answered_while_large_json_is_read(call: Callable[[aio.Channel], Any]) -> None:
    async with (
        server_process("tests.support.ticking_flow:app") as server,
        FlowStateClient.connect(server.target, user="u") as client,
        aio.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as channel,
    ):
        await client.sessions.create(KIND, session_id="s")
        answered = 0
        refused = asyncio.ensure_future(_refusal(call(channel)))
        while not refused.done():
            await client.server.info(refresh=True)
            answered += 1
        assert await refused == Reason.JSON_INVALID
        assert answered > MEANWHILE


async def _refusal(call: Any) -> Reason:
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    return read_refusal(refused.value).reason
