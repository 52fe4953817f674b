"""The floor: what bare grpc.aio does with messages of the same size, on the same event loop as the server measured."""

from __future__ import annotations

import struct
import time
from collections.abc import AsyncIterator, Awaitable
from functools import cache
from typing import Any, cast

import grpc
from grpc import aio

_CPU = struct.Struct("d")


class FloorHandler(grpc.GenericRpcHandler):
    """``/floor/bytes/N`` answers with N bytes, ``/floor/frames/COUNT/N`` with a stream, ``/floor/cpu`` with the CPU
    seconds that this process has used."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return _handler(handler_call_details.method)


@cache
def _handler(path: str) -> grpc.RpcMethodHandler[Any, Any]:
    match path.split("/")[2:]:
        case ["bytes", size]:
            return _unary(bytes(int(size)))
        case ["frames", count, size]:
            return _stream(int(count), bytes(int(size)))
        case ["cpu"]:
            return grpc.unary_unary_rpc_method_handler(_cpu_used)
    raise ValueError(f"the floor has no {path}")


def _unary(reply: bytes) -> grpc.RpcMethodHandler[Any, Any]:
    async def answer(request: bytes, context: Any) -> bytes:
        return reply

    return grpc.unary_unary_rpc_method_handler(cast(Any, answer))


def _stream(count: int, frame: bytes) -> grpc.RpcMethodHandler[Any, Any]:
    async def answer(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield frame

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
        method = cast(Any, self._channel.unary_unary(f"/floor/bytes/{reply_size}"))
        request = bytes(request_size)
        return lambda: method(request, metadata=self._metadata)

    def frames(self, count: int, size: int) -> Any:
        method = cast(Any, self._channel.unary_stream(f"/floor/frames/{count}/{size}"))
        return lambda: method(b"", metadata=self._metadata)

    async def cpu(self) -> float:
        method = cast(Any, self._channel.unary_unary("/floor/cpu"))
        seconds: float = _CPU.unpack(await cast(Awaitable[bytes], method(b"")))[0]
        return seconds
