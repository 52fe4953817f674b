"""What stands before the servers of a fleet: one address, and each new connection goes to the next of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from types import TracebackType
from typing import Self


class Balancer:
    """A TCP balancer as a service in Kubernetes is one: it knows nothing of calls. ``leave`` takes a server out, whose
    connections stay; one that does not listen any more is passed over."""

    def __init__(self, upstreams: Iterable[str]) -> None:
        self._upstreams = list(upstreams)
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def target(self) -> str:
        """Where to connect to."""
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def leave(self, upstream: str) -> None:
        self._upstreams.remove(upstream)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            upstream_reader, upstream_writer = await self._next()
            writers.append(upstream_writer)
            # Either end is the end of both.
            pumps = [
                asyncio.create_task(_pump(reader, upstream_writer)),
                asyncio.create_task(_pump(upstream_reader, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # nobody is left
        finally:
            for one in writers:
                one.transport.abort()
                with contextlib.suppress(OSError):
                    await one.wait_closed()

    async def _next(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in self._upstreams[1:]:
            host, port = self._turn()
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(host, port)
        return await asyncio.open_connection(*self._turn())

    def _turn(self) -> tuple[str, int]:
        upstream = self._upstreams.pop(0)
        self._upstreams.append(upstream)
        host, _, port = upstream.rpartition(":")
        return host, int(port)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
