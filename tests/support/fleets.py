"""Several servers on one store, and the clients of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from flowstate_client import FlowStateClient
from flowstate_server.testing.server import RunningServer


@dataclass(frozen=True)
class Fleet:
    clients: Sequence[FlowStateClient]

    def client(self, number: int) -> FlowStateClient:
        """Spreads calls over clients and servers."""
        return self.clients[number % len(self.clients)]


@dataclass(frozen=True)
class Pair:
    """Two servers on one store; ``ada_1`` and ``backend_1`` are clients of the second."""

    server_0: RunningServer
    server_1: RunningServer
    ada_0: FlowStateClient
    ada_1: FlowStateClient
    backend_0: FlowStateClient
    backend_1: FlowStateClient


@asynccontextmanager
async def clients_of(targets: Sequence[str], each: int = 4) -> AsyncIterator[Sequence[FlowStateClient]]:
    """``each`` trusted clients of every server, that of the first server first, then the second's, and so on."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(FlowStateClient.connect(target, plane="trusted"))
            for _ in range(each)
            for target in targets
        ]
