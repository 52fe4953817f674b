"""A real server for flows, store and settings of a test's own, with raw stubs and clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from grpc import aio

from flowstate.v1.event_service_pb2_grpc import EventServiceStub
from flowstate.v1.flow_service_pb2 import ActionSpec, CallActionRequest, DispatchActionRequest
from flowstate.v1.flow_service_pb2_grpc import FlowServiceStub
from flowstate.v1.journal_service_pb2_grpc import JournalServiceStub
from flowstate.v1.session_service_pb2_grpc import SessionServiceStub
from flowstate.v1.state_service_pb2_grpc import StateServiceStub
from flowstate_client import Backoff, ClientConfig, FlowStateClient
from flowstate_server.app import create_flowstate
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import Context, Flow, action, define_flow, handler
from flowstate_server.model.json_values import encode_json
from flowstate_server.programs.program import HostedFlow
from flowstate_server.rpc.server import FlowStateServer
from flowstate_server.settings import ServerSettings
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.store import Store

# A connection of its own, with a small and fixed window: what a reader does not read soon stays with the server.
_CHANNEL = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]

Body = Callable[[Context[Any, Any, Any, Any]], Awaitable[Any]]

FAST = ClientConfig(timeout=10.0, connect_timeout=2.0, backoff=Backoff(initial=0.01, maximum=0.05))


def play(bodies: Body | Mapping[str, Body], **parts: Any) -> Flow:
    """The flow ``play``, whose actions (one body: ``play``) do what the test says. ``parts`` as in ``define_flow``."""
    by_name = bodies if isinstance(bodies, Mapping) else {"play": bodies}
    return define_flow(
        kind=parts.pop("kind", "play"),
        actions={name: action(block=_block(name, body)) for name, body in by_name.items()},
        **parts,
    )


def _block(name: str, body: Body) -> Any:
    @handler(name=f"{name}_block")
    async def block(value: Any, ctx: Context) -> Any:
        return await body(ctx)

    return block


@dataclass
class Hosted:
    engine: Engine
    server: FlowStateServer
    address: str
    channel: aio.Channel

    def __post_init__(self) -> None:
        self.flows = FlowServiceStub(self.channel)
        self.events = EventServiceStub(self.channel)
        self.sessions = SessionServiceStub(self.channel)
        self.states = StateServiceStub(self.channel)
        self.journals = JournalServiceStub(self.channel)

    @property
    def open_streams(self) -> int:
        """How many streams the server serves now."""
        return len(self.server._admission._streams)

    async def no_streams(self) -> None:
        """Wait until the server serves no stream."""
        await self.server._admission.streams_end()

    def client(self, target: str = "", config: ClientConfig = FAST, **options: Any) -> FlowStateClient:
        """A client of this server, or of a proxy before it."""
        return FlowStateClient.connect(
            target or self.address, config=config, **{"user": "u1", "tenant": None, **options}
        )

    async def dispatch(self, request_id: str, action: str = "play", **fields: Any) -> None:
        call = DispatchActionRequest(spec=play_spec(request_id, action, **fields))
        await self.flows.DispatchAction(call)

    async def run(self, request_id: str, action: str = "play", **fields: Any) -> None:
        """Run an action to its end, however it ends."""
        call = CallActionRequest(spec=play_spec(request_id, action, **fields))
        assert (await self.flows.CallAction(call)).done


def play_spec(request_id: str, action: str = "play", input: Any = None, **fields: Any) -> ActionSpec:
    made = ActionSpec(
        **{"flow_kind": "play", "action": action, "request_id": request_id, "user_id": "u1", **fields}
    )
    made.input.json = encode_json({} if input is None else input).decode()
    return made


@asynccontextmanager
async def hosted(
    *flows: HostedFlow,
    store: Store | None = None,
    settings: EngineSettings | None = None,
    options: ServerSettings | None = None,
    **started: Any,
) -> AsyncIterator[Hosted]:
    """Serves ``flows`` on a free port; ``started`` are more arguments of the server. What still runs is interrupted."""
    engine = create_flowstate(flows=flows).engine(store or MemoryStore(), settings)
    await engine.open()
    server = FlowStateServer(engine, replace(options or ServerSettings(), listen="127.0.0.1:0"), **started)
    address = f"127.0.0.1:{await server.start()}"
    try:
        async with aio.insecure_channel(address, options=_CHANNEL) as channel:
            yield Hosted(engine, server, address, channel)
    finally:
        await server.stop(drain_grace=0.0)
