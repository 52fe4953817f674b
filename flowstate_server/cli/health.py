"""``flowstate health``: whether a server takes calls, for people, scripts and probes."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

import typer
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from flowstate_client import FlowStateClient
from flowstate_server.cli.connection import REACH_SECONDS, Connection
from flowstate_server.cli.option_groups import with_option_groups
from flowstate_server.cli.problem import FAILED, NOT_FOUND, UNREACHABLE, give_up
from flowstate_server.cli.telling import say

# Seconds between two questions. Chosen.
_PAUSE = 0.2

_CODES = {"serving": 0, "not_serving": FAILED, "no_answer": UNREACHABLE}


@with_option_groups
def health(
    service: Annotated[
        str,
        typer.Option(metavar="NAME", help="Of this service, such as flowstate.v1.FlowService; else of all."),
    ] = "",
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait until it is serving.")
    ] = 0.0,
    *,
    connection: Connection,
) -> None:
    """Tell whether the server takes calls. It needs no token.

    Exit code 0: it is serving. 1: it is not, since it starts, ends, or its store is away. 3: nobody answers. 4: it has
    no service of that name.
    """
    deadline = time.monotonic() + wait

    async def work(client: FlowStateClient) -> str:
        async with connection.channel() as channel:
            stub: Any = HealthStub(channel)
            while (status := await _status(stub, service, connection.server)) != "serving":
                if time.monotonic() >= deadline:
                    break
                await asyncio.sleep(_PAUSE)
            return status

    status = connection.run(work, patience=max(REACH_SECONDS, wait))
    say({"status": status}, f"{connection.server}: {status.replace('_', ' ')}")
    raise typer.Exit(_CODES[status])


async def _status(stub: Any, service: str, server: str) -> str:
    try:
        answer = await stub.Check(HealthCheckRequest(service=service), timeout=REACH_SECONDS)
    except AioRpcError as error:
        if error.code() is StatusCode.NOT_FOUND:
            give_up(f"{server} has no service {service!r}", NOT_FOUND)
        if error.code() in (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED):
            return "no_answer"
        give_up(f"{server}: {error.code().name}: {error.details()}", FAILED)
    return "serving" if answer.status == HealthCheckResponse.SERVING else "not_serving"
