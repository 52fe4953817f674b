"""A real server in the process of a test: gRPC over a port, with the flows and the store of your choice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from flowstate_client import FlowStateClient
from flowstate_server.app import FlowState, create_flowstate, store_from_url
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.programs.program import HostedFlow
from flowstate_server.rpc.authenticators import Authenticator
from flowstate_server.rpc.server import FlowStateServer
from flowstate_server.settings import ServerSettings
from flowstate_server.stores.store import Store

Flows = FlowState | HostedFlow | Iterable[HostedFlow]


class RunningServer:
    """A server that listens on ``target``. Made by :func:`running_server`."""

    def __init__(self, server: FlowStateServer, engine: Engine, target: str) -> None:
        self.engine = engine
        self.target = target
        self._server = server
        self._stopped = False

    def connect(self, **identity: Any) -> FlowStateClient:
        """A client of this server, not yet opened; the arguments of ``FlowStateClient.connect``."""
        return FlowStateClient.connect(self.target, **identity)

    async def stop(self, drain_grace: float = 0.0) -> None:
        """Stop serving and close the store; runs that are not done within ``drain_grace`` end as interrupted.

        Without effect if it was done before.
        """
        if not self._stopped:
            self._stopped = True
            await self._server.stop(drain_grace=drain_grace)


@asynccontextmanager
async def running_server(
    flows: Flows,
    *,
    store: Store | str | None = None,
    settings: EngineSettings | None = None,
    authenticator: Authenticator | None = None,
    dependencies: object = None,
    **options: Any,
) -> AsyncIterator[RunningServer]:
    """Serve ``flows`` on a free port of the loopback until the ``with`` ends.

    ::

        async with running_server(chat) as server, server.connect(user="u1") as client:
            assert await client.flows.call("chat", "say", {"message": "hi"}) == "hello"

    The server lives in your event loop. Whatever a flow raises ends its own run, with one exception: a ``SystemExit``
    or ``KeyboardInterrupt`` in a callback that a block hands to the loop (``call_soon``, ``add_done_callback``) comes
    out of whatever runs the loop, ``asyncio.run`` for one, and so does stopping the loop. Only who runs it can go on
    with it, as ``flowstate serve`` does.

    Args:
        flows: A flow, several, or an application (of which the flows and the lifespan are taken).
        store: A store that is not open yet, or its URL such as ``sqlite:///test.db``; a new one in memory if not given.
        settings: The engine's limits and intervals.
        authenticator: Who callers are; without it, who their metadata says.
        dependencies: What blocks are given instead of what the application's lifespan yields, which is not entered.
        options: Fields of ``ServerSettings``.
    """
    app = _app(flows)
    if store is None or isinstance(store, str):
        store = store_from_url(store or "memory")
    lifespan = None if dependencies is None else lambda: nullcontext(dependencies)
    engine = app.engine(store, settings, lifespan=lifespan)
    server = FlowStateServer(engine, ServerSettings(**{"listen": "127.0.0.1:0", **options}), authenticator)
    running = RunningServer(server, engine, "")
    await engine.open()
    try:
        port = await server.start()
        running.target = _target(options.get("listen", "127.0.0.1:0"), port)
        yield running
    finally:
        await running.stop()


def _app(flows: Flows) -> FlowState:
    if isinstance(flows, FlowState):
        return flows
    return create_flowstate(flows=[flows] if isinstance(flows, HostedFlow) else flows)


def _target(listen: str, port: int) -> str:
    return listen if listen.startswith("unix") else f"{listen.rpartition(':')[0]}:{port}"
