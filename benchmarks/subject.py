"""A measured server in a process of its own, and raw stubs on it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from grpc import aio

from benchmarks.floor import Floor
from benchmarks.flow import KIND
from flowstate.v1 import flow_service_pb2, session_service_pb2
from flowstate.v1.event_service_pb2_grpc import EventServiceStub
from flowstate.v1.flow_service_pb2_grpc import FlowServiceStub
from flowstate.v1.session_service_pb2_grpc import SessionServiceStub
from flowstate.v1.state_service_pb2_grpc import StateServiceStub

CHECKOUT = Path(__file__).parents[1]
START_SECONDS = 30.0

TRUSTED = (("x-tenant-id", "acme"), ("x-flowstate-user", "u1"), ("x-flowstate-plane", "trusted"))
"""The metadata of every call, the floor's too."""


@dataclass(frozen=True)
class Subject:
    database: Path
    floor: Floor
    flows: FlowServiceStub
    states: StateServiceStub
    sessions: SessionServiceStub
    events: EventServiceStub

    async def new_sessions(self, count: int) -> list[str]:
        create = session_service_pb2.CreateSessionRequest
        session = session_service_pb2.Session(flow_kind=KIND, user_id="u1")
        made = [self.sessions.CreateSession(create(session=session), metadata=TRUSTED) for _ in range(count)]
        return [(await reply).session.session_id for reply in made]

    async def call(self, action: str, value: object, session: str) -> flow_service_pb2.ActionRequest:
        reply = await self.flows.CallAction(action_call(action, value, session), metadata=TRUSTED)
        if reply.action_request.status != flow_service_pb2.ACTION_REQUEST_STATUS_COMPLETED:
            raise RuntimeError(f"{action} did not complete: {reply}")
        return reply.action_request


def action_call(
    action: str, value: object, session: str, request_id: str = ""
) -> flow_service_pb2.CallActionRequest:
    spec = flow_service_pb2.ActionSpec(
        flow_kind=KIND, action=action, session_id=session, user_id="u1", request_id=request_id
    )
    spec.input.json = json.dumps(value)
    return flow_service_pb2.CallActionRequest(spec=spec)


@asynccontextmanager
async def subject(folder: Path, database: str = "bench.db", *, url: str = "") -> AsyncIterator[Subject]:
    """A server on the SQLite database of that name in ``folder``, or on the store of ``url``; several may share one."""
    with (folder / "server.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.measured_server", url or f"sqlite:///{folder / database}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=CHECKOUT,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start: {(folder / 'server.log').read_text()}")
        ports = json.loads(line)
        async with (
            aio.insecure_channel(f"127.0.0.1:{ports['flowstate']}") as channel,
            aio.insecure_channel(f"127.0.0.1:{ports['floor']}") as floor_channel,
        ):
            yield Subject(
                folder / database,
                Floor(floor_channel, TRUSTED),
                FlowServiceStub(channel),
                StateServiceStub(channel),
                SessionServiceStub(channel),
                EventServiceStub(channel),
            )
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(START_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
