"""Servers on every store, and clients of them over real ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from flowstate_client import FlowStateClient
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.model.clock import Seconds
from flowstate_server.testing.fixtures import StartServer, start_server
from flowstate_server.testing.server import RunningServer
from tests.support.fleets import Fleet, Pair, clients_of
from tests.support.flows import app
from tests.support.store_urls import ALL, DURABLE, SHARED, NewStore, new_stores

__all__ = ["start_server"]

QUICK = EngineSettings(cancel_grace=Seconds(0.2))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'flowstate.db'}"


@pytest.fixture(autouse=True)
async def new_store(tmp_path: Path) -> AsyncIterator[NewStore]:
    async with new_stores(tmp_path) as make:
        yield make


@pytest.fixture(params=ALL)
async def store_url(request: pytest.FixtureRequest, new_store: NewStore) -> str:
    return await new_store(request.param)


@pytest.fixture(params=DURABLE)
async def durable_url(request: pytest.FixtureRequest, new_store: NewStore) -> str:
    """A store that outlives its server."""
    return await new_store(request.param)


@pytest.fixture(params=SHARED)
async def shared_url(request: pytest.FixtureRequest, new_store: NewStore) -> str:
    """A store of several servers."""
    return await new_store(request.param)


@pytest.fixture
async def server(start_server: StartServer, store_url: str) -> RunningServer:
    return await start_server(app, store=store_url, settings=QUICK)


@pytest.fixture
async def backend(server: RunningServer) -> AsyncIterator[FlowStateClient]:
    """A trusted client that acts for any user."""
    async with server.connect(plane="trusted") as client:
        yield client


@pytest.fixture
async def ada(server: RunningServer) -> AsyncIterator[FlowStateClient]:
    """A client on the client plane, bound to its user."""
    async with server.connect(user="ada") as client:
        yield client


@pytest.fixture(
    params=[*((kind, 1) for kind in ALL), *((kind, 2) for kind in SHARED)],
    ids=lambda one: "{} x {}".format(*one),
)
async def fleet(
    request: pytest.FixtureRequest, start_server: StartServer, new_store: NewStore
) -> AsyncIterator[Fleet]:
    """One or two servers on one store, with several trusted clients spread over them."""
    kind, count = request.param
    url = await new_store(kind)
    servers = [await start_server(app, store=url, settings=QUICK) for _ in range(count)]
    async with clients_of([server.target for server in servers]) as clients:
        yield Fleet(clients)


@pytest.fixture
async def pair(start_server: StartServer, shared_url: str) -> AsyncIterator[Pair]:
    """Two servers on one store, each with a client of the user ``ada`` and a trusted one."""
    servers = [await start_server(app, store=shared_url, settings=QUICK) for _ in range(2)]
    async with AsyncExitStack() as stack:
        adas = [await stack.enter_async_context(server.connect(user="ada")) for server in servers]
        backends = [await stack.enter_async_context(server.connect(plane="trusted")) for server in servers]
        yield Pair(
            server_0=servers[0],
            server_1=servers[1],
            ada_0=adas[0],
            ada_1=adas[1],
            backend_0=backends[0],
            backend_1=backends[1],
        )
