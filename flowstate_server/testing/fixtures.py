"""Fixtures for pytest, which has them wherever FlowState is installed: servers in the process of a test, and clients.

==========================  ==========================================================================================
``flowstate_app``           yours to define: what is served
``flowstate_store``         yours to define, if it is not to be memory: the URL of the store
``flowstate_dependencies``  yours to define: what blocks are given instead of what a lifespan yields
``flowstate_server``        a server of that
``flowstate_client``        a client of it, on the trusted plane, that acts for any user
``start_server``            starts further servers
==========================  ==========================================================================================

They are asynchronous: a plugin such as pytest-asyncio (in its mode ``auto``) or anyio runs them. pytest imports this
module at every start, so it imports nothing itself; a test that uses no fixture of these loads no gRPC.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from flowstate_client import FlowStateClient
    from flowstate_server.testing.server import Flows, RunningServer


class StartServer(Protocol):
    """Starts a server; takes what :func:`~flowstate_server.testing.server.running_server` takes."""

    async def __call__(self, flows: Flows, **options: Any) -> RunningServer: ...


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """Servers for this test, as many as it starts; they stop when it ends."""
    from flowstate_server.testing.server import running_server

    async with AsyncExitStack() as stack:

        async def start(flows: Flows, **options: Any) -> RunningServer:
            return await stack.enter_async_context(running_server(flows, **options))

        yield start


@pytest.fixture
def flowstate_app() -> Flows:
    """What ``flowstate_server``  serves: define it in your ``conftest.py``, to return an application or flows."""
    raise pytest.UsageError(
        "flowstate_server serves what a fixture flowstate_app of yours returns: define it in conftest.py"
    )


@pytest.fixture
def flowstate_store() -> str | None:
    """The URL of the store of ``flowstate_server``; a new one in memory unless you define it otherwise."""
    return None


@pytest.fixture
def flowstate_dependencies() -> object:
    """What blocks are given instead of what the application's lifespan yields; it is entered unless you define this."""
    return None


@pytest.fixture
async def flowstate_server(
    start_server: StartServer,
    flowstate_app: Flows,
    flowstate_store: str | None,
    flowstate_dependencies: object,
) -> RunningServer:
    """A server of ``flowstate_app`` on a free port, for this test."""
    return await start_server(flowstate_app, store=flowstate_store, dependencies=flowstate_dependencies)


@pytest.fixture
async def flowstate_client(flowstate_server: RunningServer) -> AsyncIterator[FlowStateClient]:
    """A client of ``flowstate_server``  on the trusted plane, that acts for any user. ``flowstate_server.connect(...)``
    makes others."""
    async with flowstate_server.connect(plane="trusted") as client:
        yield client
