"""A TCP proxy that misbehaves on command, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self


class FaultProxy:
    """Stands on a loopback port of its own before a server and passes bytes on, until it is told otherwise::

        async with FaultProxy("127.0.0.1:7437") as proxy:
            async with FlowStateClient.connect(proxy.target) as client:
                ...
                proxy.cut()

    It knows nothing of gRPC, so that it stands as well before a database. Everything it does to connections counts for
    those that are open and, but for ``cut`` and ``half_close``, for those to come, until ``heal()``.

    Args:
        upstream: ``host:port`` of the server; it need not listen yet. While it does not, connections are reset.
    """

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host.strip("[]") or "127.0.0.1", int(port))
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0
        """How many connections were accepted so far."""
        self._latency = 0.0
        self._rate: float | None = None
        self._budget: int | None = None
        self._stalled = False

    @property
    def target(self) -> str:
        """Where to connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._pairs)

    async def __aenter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.heal()
        if self._server is not None:
            self._server.close()
        if self._socket is not None:
            self._socket.close()
        self.cut()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def cut(self) -> None:
        """Resets all connections now, in the middle of whatever they do: both ends see an error, not an end."""
        for pair in list(self._pairs):
            pair.abort()

    def cut_after(self, size: int) -> None:
        """Resets each connection as soon as ``size`` more bytes have come from the server, counted over all."""
        self._budget = size

    def half_close(self) -> None:
        """Tells all clients that the server has finished sending, while their own side stays open.

        As a proxy in the cloud does that gives up on an idle stream: an end without an error.
        """
        for pair in list(self._pairs):
            pair.half_close()

    def stall(self, *, also_new: bool = True) -> None:
        """Passes nothing on and closes nothing, as a frozen machine would; new connections too unless told so."""
        self._stalled = also_new
        for pair in self._pairs:
            pair.flowing.clear()

    def delay(self, seconds: float) -> None:
        """Holds back each piece by this long, both ways."""
        self._latency = seconds

    def throttle(self, bytes_per_second: float) -> None:
        """Passes no more than this on, for each connection and direction."""
        self._rate = bytes_per_second

    def heal(self) -> None:
        """Takes back ``stall``, ``delay``, ``throttle`` and ``cut_after``."""
        self._latency = 0.0
        self._rate = None
        self._budget = None
        self._stalled = False
        for pair in self._pairs:
            pair.flowing.set()

    async def refuse(self) -> None:
        """Resets all connections and refuses new ones; keeps the port."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        # The port stays taken by a socket that does not listen.
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._socket is not None:
            self._socket.close()
        holder.bind(("127.0.0.1", self.port))
        self._socket = holder
        self.cut()

    async def accept(self) -> None:
        """Accepts connections again after ``refuse()``, on the same port."""
        if self._server is None and self._socket is not None:
            self._server = await asyncio.start_server(self._connected, sock=self._socket)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        handler = asyncio.create_task(self._serve(reader, writer))
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, server_writer)
        if not self._stalled:
            pair.flowing.set()
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, server_writer, pair, from_server=False))
                group.create_task(self._pump(server_reader, writer, pair, from_server=True))
        except* OSError:
            pass
        finally:
            self._pairs.discard(pair)
            pair.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pair: _Pair,
        *,
        from_server: bool,
    ) -> None:
        while data := await reader.read(65536):
            if self._latency:
                await asyncio.sleep(self._latency)
            if self._rate is not None:
                await asyncio.sleep(len(data) / self._rate)
            await pair.flowing.wait()
            if from_server and self._budget is not None:
                passing, self._budget = data[: self._budget], max(0, self._budget - len(data))
                if len(passing) < len(data):
                    writer.write(passing)
                    with contextlib.suppress(OSError):
                        await writer.drain()
                    self._budget = None
                    pair.abort()
                    return
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()


class _Pair:
    """The two ends of one connection."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._client = client
        self._server = server
        self.flowing = asyncio.Event()

    def abort(self) -> None:
        for writer in (self._client, self._server):
            # Unsent data dropped and no lingering: the peer sees a reset, not an end.
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            writer.transport.abort()

    def half_close(self) -> None:
        if self._client.can_write_eof() and not self._client.is_closing():
            self._client.write_eof()
