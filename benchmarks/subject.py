"""A measured server in a process of its own, and raw stubs on it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from grpc import aio

from benchmarks.floor import Floor
from benchmarks.flow import KIND
from benchmarks.values import json_field
from flowstate.v1 import flow_service_pb2, session_service_pb2
from flowstate.v1.event_service_pb2_grpc import EventServiceStub
from flowstate.v1.flow_service_pb2_grpc import FlowServiceStub
from flowstate.v1.session_service_pb2_grpc import SessionServiceStub
from flowstate.v1.state_service_pb2_grpc import StateServiceStub
from tests.support.postgres_server import PostgresServer

CHECKOUT = Path(__file__).parents[1]
START_SECONDS = 30.0
APP = "benchmarks.flow:app"

TRUSTED = (("x-tenant-id", "acme"), ("x-flowstate-user", "u1"), ("x-flowstate-plane", "trusted"))
"""The metadata of every call, the floor's too."""


@dataclass(frozen=True)
class Subject:
    """``pid`` is the server's process, ``folder`` one that goes with it."""

    pid: int
    address: str
    floor: Floor
    flows: FlowServiceStub
    states: StateServiceStub
    sessions: SessionServiceStub
    events: EventServiceStub
    channel: aio.Channel
    folder: Path

    async def new_sessions(self, count: int, kind: str = KIND) -> list[str]:
        return [await _new_session(self.sessions, kind) for _ in range(count)]

    async def call(
        self, action: str, value: object, session: str, kind: str = KIND
    ) -> flow_service_pb2.ActionRequest:
        return await _completed(self.flows, action_call(action, value, session, kind=kind))

    async def dispatch(self, action: str, value: object, session: str) -> str:
        """Start a run; the id of its request."""
        spec = action_call(action, value, session).spec
        request = flow_service_pb2.DispatchActionRequest(spec=spec)
        reply = await self.flows.DispatchAction(request, metadata=TRUSTED)
        return reply.action_request.request_id

    def memory(self) -> float:
        """MiB of the server's process that are in RAM."""
        status = Path(f"/proc/{self.pid}/status")
        if status.exists():
            rows = dict(row.split(":", 1) for row in status.read_text().splitlines())
            return int(rows["VmRSS"].split()[0]) / 1024
        told = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, text=True, check=True
        )
        return int(told.stdout) / 1024


def action_call(
    action: str, value: object, session: str, request_id: str = "", kind: str = KIND
) -> flow_service_pb2.CallActionRequest:
    spec = flow_service_pb2.ActionSpec(
        flow_kind=kind, action=action, session_id=session, user_id="u1", request_id=request_id
    )
    spec.input.json = json_field(value)
    return flow_service_pb2.CallActionRequest(spec=spec)


@asynccontextmanager
async def on_sqlite(app: str = APP) -> AsyncIterator[Subject]:
    """A server on a SQLite database that goes with it, ``synchronous=FULL``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with subject(folder, f"sqlite:///{folder / 'bench.db'}", app) as server:
            yield server


@asynccontextmanager
async def on_postgres(app: str = APP) -> AsyncIterator[Subject]:
    """A server on a PostgreSQL that goes with it and writes as one in production does."""
    with tempfile.TemporaryDirectory() as name, PostgresServer.run(durable=True) as postgres:
        async with subject(Path(name), await postgres.create_database(), app) as server:
            yield server


@asynccontextmanager
async def subject(folder: Path, url: str, app: str = APP, **settings: str) -> AsyncIterator[Subject]:
    """A server as ``flowstate serve`` starts it, on the store of ``url``; several may share one. ``settings`` are
    variables of its environment."""
    with (folder / "server.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flowstate_server", "serve", app),
            *("--store", url, "--listen", "127.0.0.1:0"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=CHECKOUT,
            env=_environment() | settings,
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start: {(folder / 'server.log').read_text()}")
        address: str = json.loads(line)["address"]
        async with aio.insecure_channel(address) as channel:
            flows, sessions = FlowServiceStub(channel), SessionServiceStub(channel)
            port = await _floor_port(flows, sessions)
            async with aio.insecure_channel(f"127.0.0.1:{port}") as floor_channel:
                yield Subject(
                    pid=process.pid,
                    address=address,
                    floor=Floor(floor_channel, TRUSTED),
                    flows=flows,
                    states=StateServiceStub(channel),
                    sessions=sessions,
                    events=EventServiceStub(channel),
                    channel=channel,
                    folder=folder,
                )
    finally:
        await _stop(process)


def _environment() -> dict[str, str]:
    """That of this process without what it says of servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWSTATE_")}
    return kept | {"FLOWSTATE_DRAIN_GRACE": "1"}


async def _floor_port(flows: FlowServiceStub, sessions: SessionServiceStub) -> int:
    call = action_call("floor", {}, await _new_session(sessions, KIND))
    port: int = json.loads((await _completed(flows, call)).output.json)
    return port


async def _new_session(sessions: SessionServiceStub, kind: str) -> str:
    session = session_service_pb2.Session(flow_kind=kind, user_id="u1")
    request = session_service_pb2.CreateSessionRequest(session=session)
    return (await sessions.CreateSession(request, metadata=TRUSTED)).session.session_id


async def _completed(
    flows: FlowServiceStub, call: flow_service_pb2.CallActionRequest
) -> flow_service_pb2.ActionRequest:
    reply = await flows.CallAction(call, metadata=TRUSTED)
    if reply.action_request.status != flow_service_pb2.ACTION_REQUEST_STATUS_COMPLETED:
        raise RuntimeError(f"{call.spec.action} did not complete: {reply}")
    return reply.action_request


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(START_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
