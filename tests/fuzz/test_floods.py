"""More calls at once than the server can take up, from somebody whom it does not know yet."""

from __future__ import annotations

import asyncio
import contextlib

from flowstate_client import Cancelled, FlowStateClient
from flowstate_server.testing.server_process import server_process
from tests.fuzz.raw_connections import many_calls
from tests.support.memory import resident

CONNECTIONS = 50
CALLS = 1_000
"""Of each connection, as many as it may have."""
MIB = 1024 * 1024
ROOM = 600 * MIB
"""Measured: 250 to 400 MiB where 20,000 calls may wait, 700 to 930 MiB where 100,000 may."""
ANSWERED_SECONDS = 50.0


async def test_calls_that_wait_to_be_taken_up_do_not_fill_the_memory() -> None:
    async with (
        server_process("tests.support.house_app:app", log_level="error") as server,
        FlowStateClient.connect(server.target) as client,
    ):
        await client.server.info()
        before, peak = resident(server.pid), 0
        async with asyncio.TaskGroup() as group:
            flood = [group.create_task(_flood(server.target)) for _ in range(CONNECTIONS)]
            right = group.create_task(_answered(server.target))
            while not right.done():
                peak = max(peak, resident(server.pid))
                await asyncio.sleep(0.02)
            for one in flood:
                one.cancel()
        assert peak - before < ROOM, f"{(peak - before) // MIB} MiB"


async def _flood(target: str) -> None:
    """Make all calls at once that a connection may have, and read what comes."""
    host, _, port = target.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(many_calls(CALLS, "/flowstate.v1.SessionService/GetSession", "Bearer nobody's"))
        with contextlib.suppress(OSError):
            while await reader.read(65_536):
                pass
    finally:
        writer.transport.abort()


async def _answered(target: str) -> None:
    """A right call behind the flood, made again where it is dropped."""
    async with asyncio.timeout(ANSWERED_SECONDS), FlowStateClient.connect(target) as client:
        await asyncio.sleep(0.5)  # until the flood has been sent
        while True:
            try:
                await client.server.info()
                return
            except Cancelled:  # so gRPC calls what it drops
                await asyncio.sleep(0.5)
