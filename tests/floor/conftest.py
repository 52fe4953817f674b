"""A server in another environment, and a client of it in this one, which has the base dependencies alone.

``FLOOR_SERVER_PYTHON``, that `make test-floor` sets, names the Python of the server; without it no test is here.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from flowstate_client import FlowStateClient

CHECKOUT = Path(__file__).parents[2]
SERVER = os.environ.get("FLOOR_SERVER_PYTHON", "")
APP = "tests.floor.served:flowstate"

collect_ignore_glob = [] if SERVER else ["test_*.py"]


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the server listens."""
    process = subprocess.Popen(
        [SERVER, "-m", "flowstate_server", "serve", APP, "--listen", "127.0.0.1:0"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["event"] == "listening"
        yield told["address"]
        process.terminate()


@pytest.fixture(scope="session")
def stub_source() -> str:
    """The typed client of what is served, written by the server's environment."""
    command = [SERVER, "-m", "flowstate_server", "client-stub", APP]
    return subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout


@pytest.fixture
async def client(address: str) -> AsyncIterator[FlowStateClient]:
    async with FlowStateClient.connect(address, user="ada", plane="trusted") as opened:
        async with asyncio.timeout(20):
            await opened.ready(10)
        yield opened
