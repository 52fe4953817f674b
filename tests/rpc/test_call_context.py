"""What belongs to a call: its caller, its correlation id, its line in the log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from grpc import aio

from flowstate.v1.flow_service_pb2 import Flow, GetFlowResponse
from flowstate_server.errors import Reason
from flowstate_server.rpc.call_context import current_call
from tests.support.access_records import AccessRecords
from tests.support.enveloped import enveloped, method
from tests.support.wire import CANARY, refused


async def _succeed() -> None:
    return None


async def test_calls_side_by_side_keep_their_context_apart() -> None:
    arrived: list[str] = []
    everyone = asyncio.Event()

    async def answer(request: Any, context: Any) -> GetFlowResponse:
        arrived.append(current_call().principal.tenant)
        if len(arrived) == 50:
            everyone.set()
        await everyone.wait()
        return GetFlowResponse(flow=Flow(flow_kind=current_call().principal.tenant))

    async with enveloped(unary=answer) as server:
        tenants = [f"t{number}" for number in range(50)]
        replies = await asyncio.gather(
            *(server.unary(metadata=(("x-tenant-id", tenant),)) for tenant in tenants)
        )
    assert [GetFlowResponse.FromString(reply).flow.flow_kind for reply in replies] == tenants


async def test_the_correlation_id_is_taken_over_or_made(access: AccessRecords) -> None:
    async with enveloped(**method("unary", _fail_quietly)) as server:
        trailers = []
        for sent in ("order-17", "a b"):
            with pytest.raises(aio.AioRpcError) as failed:
                await server.unary(metadata=(("x-correlation-id", sent),))
            trailers.append(dict(failed.value.trailing_metadata() or ())["x-correlation-id"])
        records = await access.count(2)
    assert trailers[0] == "order-17"
    assert str(trailers[1]).startswith("call_")
    assert [vars(record)["correlation_id"] for record in records] == trailers


async def test_no_metadata_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = (("authorization", f"Bearer {CANARY}"), ("x-secret-bin", CANARY.encode()))
    async with enveloped(**method("unary", _fail_quietly)) as server:
        await refused(server.unary(metadata=secret))
    assert "something" in caplog.text  # it was logged, with where it came from
    assert CANARY not in caplog.text
    assert not any(CANARY in str(vars(record)) for record in caplog.records)


async def _fail_quietly() -> None:
    raise ValueError("something")


async def test_an_unknown_method_is_refused_like_any_other(access: AccessRecords) -> None:
    async with enveloped() as server:
        path = "/flowstate.v1.FlowService/DropTables"
        unknown: aio.UnaryUnaryMultiCallable[bytes, bytes] = server.channel.unary_unary(path)
        refusal = await refused(unknown(b""))
        (record,) = await access.count(1)
    assert refusal.reason is Reason.FEATURE_DISABLED
    assert vars(record)["method"] == "FlowService/DropTables"
