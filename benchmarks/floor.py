"""The floor: what bare grpc.aio does with messages of the same size, on the event loop of the server measured."""

from __future__ import annotations

import asyncio
import contextvars
import random
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from functools import cache
from typing import Any, cast

import grpc
from grpc import aio

_CPU = struct.Struct("d")

_open: set[asyncio.Task[None]] = set()


async def open_floor() -> int:
    """Serve the floor on the running loop, for as long as that runs; the port.

    It has a context of its own, so that nothing of the caller's is carried into the calls.
    """
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    _open.add(asyncio.create_task(_serve(port), context=contextvars.Context()))
    return await port


async def _serve(port: asyncio.Future[int]) -> None:
    server = aio.server()
    server.add_generic_rpc_handlers((FloorHandler(),))
    number = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    port.set_result(number)
    try:
        await server.wait_for_termination()
    finally:
        await server.stop(0)


class FloorHandler(grpc.GenericRpcHandler):
    """``/floor/bytes/N`` answers with N bytes, ``/floor/frames/COUNT/N`` with a stream, ``/floor/pieces/COUNT/N`` with
    one of which each frame has memory of its own, ``/floor/tokens/COUNT/N/MICROS`` with one that pauses so long before
    each frame, which says when it was made, ``/floor/cpu`` with the CPU seconds that this process has used."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return _handler(handler_call_details.method)


@cache
def _handler(path: str) -> grpc.RpcMethodHandler[Any, Any]:
    match path.split("/")[2:]:
        case ["bytes", size]:
            return _unary(bytes(int(size)))
        case ["frames", count, size]:
            return _stream([bytes(int(size))] * int(count))
        case [
            "pieces",
            count,
            size,
        ]:  # zeros would all be the same page, which is in the processor's cache for good
            return _stream([random.randbytes(int(size)) for _ in range(int(count))])
        case ["tokens", count, size, micros]:
            return _tokens(int(count), int(size), int(micros) / 1e6)
        case ["cpu"]:
            return grpc.unary_unary_rpc_method_handler(_cpu_used)
    raise ValueError(f"the floor has no {path}")


def _unary(reply: bytes) -> grpc.RpcMethodHandler[Any, Any]:
    async def answer(request: bytes, context: Any) -> bytes:
        return reply

    return grpc.unary_unary_rpc_method_handler(cast(Any, answer))


def _stream(frames: Sequence[bytes]) -> grpc.RpcMethodHandler[Any, Any]:
    async def answer(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for frame in frames:
            yield frame

    return grpc.unary_stream_rpc_method_handler(cast(Any, answer))


def _tokens(count: int, size: int, pause: float) -> grpc.RpcMethodHandler[Any, Any]:
    async def answer(request: bytes, context: Any) -> AsyncIterator[bytes]:
        await asyncio.sleep(random.random() * pause)
        began = time.monotonic()
        for number in range(1, count + 1):
            await asyncio.sleep(began + number * pause - time.monotonic())
            yield b"%d" % time.monotonic_ns() + bytes(size)

    return grpc.unary_stream_rpc_method_handler(cast(Any, answer))


async def _cpu_used(request: bytes, context: Any) -> bytes:
    return _CPU.pack(time.process_time())


class Floor:
    """The client's side."""

    def __init__(self, channel: aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self._channel = channel
        self._metadata = metadata

    def unary(self, request_size: int, reply_size: int) -> Any:
        """A call without arguments that sends and gets that many bytes."""
        return self.sending(bytes(request_size), reply_size)

    def sending(self, request: bytes, reply_size: int) -> Any:
        """As :meth:`unary`, of a request that is given."""
        method = cast(Any, self._channel.unary_unary(f"/floor/bytes/{reply_size}"))
        return lambda: method(request, metadata=self._metadata)

    def pieces(self, count: int, size: int) -> Any:
        method = cast(Any, self._channel.unary_stream(f"/floor/pieces/{count}/{size}"))
        return lambda: method(b"", metadata=self._metadata)

    def frames(self, count: int, size: int) -> Any:
        method = cast(Any, self._channel.unary_stream(f"/floor/frames/{count}/{size}"))
        return lambda: method(b"", metadata=self._metadata)

    def tokens(self, count: int, size: int, pause: float) -> Any:
        method = cast(Any, self._channel.unary_stream(f"/floor/tokens/{count}/{size}/{round(pause * 1e6)}"))
        return lambda: method(b"", metadata=self._metadata)

    async def cpu(self) -> float:
        method = cast(Any, self._channel.unary_unary("/floor/cpu"))
        seconds: float = _CPU.unpack(await cast(Awaitable[bytes], method(b"")))[0]
        return seconds
