"""A fake server and a client of it, for each test anew."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flowstate_client import Backoff, ClientConfig, FlowStateClient
from flowstate_client.testing import FaultProxy
from tests.client.fakes import FakeServer

FAST = ClientConfig(timeout=5.0, connect_timeout=2.0, backoff=Backoff(initial=0.01, maximum=0.05))


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[FlowStateClient]:
    async with FlowStateClient.connect(server.target, tenant="acme", user="u1", config=FAST) as opened:
        yield opened


@pytest.fixture
async def proxy(server: FakeServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server.target) as faults:
        yield faults


@pytest.fixture
async def proxied(proxy: FaultProxy) -> AsyncIterator[FlowStateClient]:
    """A client whose connections go through ``proxy``."""
    async with FlowStateClient.connect(proxy.target, user="u1", config=FAST) as opened:
        yield opened
