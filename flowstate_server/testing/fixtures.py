"""Fixtures for pytest, which this module imports and nothing else here needs.

Load them in the ``conftest.py`` at the root of your tests::

    pytest_plugins = ["flowstate_server.testing.fixtures"]

They are asynchronous: a plugin such as pytest-asyncio (in its mode ``auto``) or anyio runs them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from flowstate_server.testing.server import Flows, RunningServer, running_server


class StartServer(Protocol):
    """Starts a server; takes what :func:`running_server` takes."""

    async def __call__(self, flows: Flows, **options: Any) -> RunningServer: ...


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """Servers for this test, as many as it starts; they stop when it ends."""
    async with AsyncExitStack() as stack:

        async def start(flows: Flows, **options: Any) -> RunningServer:
            return await stack.enter_async_context(running_server(flows, **options))

        yield start
