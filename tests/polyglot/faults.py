"""Proxies on demand, for tests that are not written in Python."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from flowstate_client.testing import FaultProxy, GrpcProxy

PROXIES: Mapping[str, type[FaultProxy | GrpcProxy]] = {"tcp": FaultProxy, "grpc": GrpcProxy}


@asynccontextmanager
async def faults(upstream: str) -> AsyncIterator[str]:
    """Where to connect to for a proxy before ``upstream``, that lives as long as this connection.

    The first line names the kind, ``tcp`` or ``grpc``, and is answered with the proxy's target. Each further line is a
    method of the proxy with whole numbers (``cut``, ``end_streams_after 3``), answered with ``None`` when it is done,
    or an attribute (``accepted``, ``open``), answered with its value.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            kind = (await reader.readline()).decode().strip()
            async with PROXIES[kind](upstream) as proxy:
                writer.write(f"{proxy.target}\n".encode())
                async for line in reader:
                    name, *numbers = line.decode().split()
                    answer = getattr(proxy, name)
                    if callable(answer):
                        answer = answer(*map(int, numbers))
                    writer.write(f"{answer}\n".encode())
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
