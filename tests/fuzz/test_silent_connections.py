"""Who connects and then says nothing, or a byte now and then, is put out, and holds up nobody meanwhile."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest

from flowstate_client import FlowStateClient
from flowstate_server.testing.server_process import ServerProcess, server_process
from flowstate_server.testing.waiting import soon, until
from tests.fuzz.raw_connections import PREFACE
from tests.support.ticking_flow import KIND

CONNECTIONS = 400
PATIENCE = 40.0
"""Seconds; the server gives ten to each, and closes them one by one."""
BEGINNINGS: Sequence[bytes] = (b"", PREFACE[:9], b"POST / HTTP/1.1\r\nX: ", b"\x16\x03\x01\x00\xc8\x01")


@pytest.mark.soak
async def test_silent_connections_are_closed() -> None:
    async with (
        server_process("tests.support.ticking_flow:app") as server,
        FlowStateClient.connect(server.target, user="u") as client,
    ):
        await client.flows.call(KIND, "tick", {"count": 1})
        before = _open_files(server)
        silent = [
            asyncio.create_task(_drip(server.target, BEGINNINGS[number % len(BEGINNINGS)]))
            for number in range(CONNECTIONS)
        ]
        await until(lambda: _open_files(server) > before + CONNECTIONS / 2, what="the connections")
        slowest = 0.0
        while not all(one.done() for one in silent):
            began = time.monotonic()
            await client.flows.call(KIND, "tick", {"count": 1})
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.05)
            assert slowest < 5.0
        await soon(asyncio.gather(*silent))
        await until(lambda: _open_files(server) <= before, what="the end of all connections")


async def _drip(target: str, beginning: bytes) -> None:
    """Say a byte a second, until the server has enough."""
    host, _, port = target.rpartition(":")
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            with suppress(ConnectionError):
                for byte in beginning or b"\0":
                    if beginning:
                        writer.write(bytes((byte,)))
                        await writer.drain()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(1.0):
                            while await reader.read(1_000):
                                pass
                            return
                while await reader.read(1_000):
                    pass
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


def _open_files(server: ServerProcess) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))
