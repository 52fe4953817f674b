"""A real server over a store in memory, with a small flow whose runs a test can hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from grpc import aio
from pydantic import BaseModel

from flowstate.v1.event_service_pb2_grpc import EventServiceStub
from flowstate.v1.flow_service_pb2 import ActionSpec
from flowstate.v1.flow_service_pb2_grpc import FlowServiceStub
from flowstate.v1.journal_service_pb2_grpc import JournalServiceStub
from flowstate.v1.server_service_pb2_grpc import ServerServiceStub
from flowstate.v1.session_service_pb2_grpc import SessionServiceStub
from flowstate.v1.state_service_pb2_grpc import StateServiceStub
from flowstate_server.app import create_flowstate
from flowstate_server.flows import (
    ActionError,
    ClientView,
    Context,
    Flow,
    Session,
    User,
    action,
    define_flow,
    handler,
)
from flowstate_server.model.json_values import encode_json
from flowstate_server.rpc.server import FlowStateServer
from flowstate_server.settings import ServerSettings
from tests.support.wire import CANARY


class Counted(BaseModel):
    count: int = 0
    secret: str = ""


class Liked(BaseModel):
    likes: list[str] = []


class Say(BaseModel):
    text: str = ""


@dataclass
class Gate:
    """Where runs of ``hold`` wait; ``reached`` and ``cancelled`` tell how far they came."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


def talk(gate: Gate) -> Flow:
    """Actions: ``say`` answers and counts, ``hold`` waits for the gate, ``crash`` and ``object`` fail."""

    @handler(session_state=Counted, user_state=Liked)
    async def say(said: Say, ctx: Context[Counted, Liked]) -> str:
        await ctx.session.inc_state({"count": 1})
        async with ctx.message(role="assistant") as message:
            await message.write("you said ")
            await message.write(said.text)
        return message.text

    @handler
    async def hold(said: Say, ctx: Context) -> str:
        gate.reached.set()
        try:
            await gate.opened.wait()
        except asyncio.CancelledError:
            gate.cancelled.set()
            raise
        return "held"

    @handler
    async def crash(said: Say, ctx: Context) -> str:
        raise ValueError(CANARY)

    @handler
    async def protest(said: Say, ctx: Context) -> str:
        raise ActionError("NO_WAY", "not today", {"why": "rain"}, retryable=True)

    view = ClientView(expose=["count"], derived={"double": lambda view: view.state.count * 2})
    return define_flow(
        kind="talk",
        description="Talks.",
        session=Session(client=view),
        user=User(client=ClientView(expose=["likes"])),
        actions={
            "say": action(input=Say, block=say),
            "hold": action(input=Say, block=hold),
            "crash": action(input=Say, block=crash),
            "object": action(input=Say, block=protest),
        },
    )


@dataclass
class Served:
    server: FlowStateServer
    address: str
    channel: aio.Channel
    gate: Gate

    def __post_init__(self) -> None:
        self.flows = FlowServiceStub(self.channel)
        self.events = EventServiceStub(self.channel)
        self.sessions = SessionServiceStub(self.channel)
        self.states = StateServiceStub(self.channel)
        self.journals = JournalServiceStub(self.channel)
        self.info = ServerServiceStub(self.channel)


@asynccontextmanager
async def served(options: ServerSettings | None = None, *more: Flow, **started: Any) -> AsyncIterator[Served]:
    """``started`` are the arguments of the server."""
    gate = Gate()
    engine = create_flowstate(flows=[talk(gate), *more]).engine()
    await engine.open()
    options = replace(options or ServerSettings(), listen="127.0.0.1:0")
    server = FlowStateServer(engine, options, **started)
    address = f"127.0.0.1:{await server.start()}"
    try:
        async with aio.insecure_channel(address) as channel:
            yield Served(server, address, channel, gate)
    finally:
        await server.stop(drain_grace=0.0)


def spec(action: str = "say", text: Any = "hi", **fields: Any) -> ActionSpec:
    """A call of an action of ``talk``, for the user ``u1`` unless told otherwise."""
    made = ActionSpec(**{"flow_kind": "talk", "action": action, "user_id": "u1", **fields})
    made.input.json = encode_json({"text": text}).decode()
    return made
