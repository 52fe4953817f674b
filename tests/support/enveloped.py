"""A real server with nothing behind its envelope but the code that a test gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio

from flowstate.v1.event_service_pb2 import TailCaughtUp, TailEventsRequest, TailEventsResponse
from flowstate.v1.flow_service_pb2 import GetFlowRequest, GetFlowResponse
from flowstate_server.rpc.admission import Admission
from flowstate_server.rpc.authenticators import Authenticator, OpenAuthenticator
from flowstate_server.rpc.envelope import Envelope
from flowstate_server.settings import ServerSettings

UNARY = "/flowstate.v1.FlowService/GetFlow"
STREAM = "/flowstate.v1.EventService/TailEvents"

FRAME = TailEventsResponse(caught_up=TailCaughtUp())
SHAPES = ("unary", "generator", "writer")

Behavior = Callable[[Any, Any], Any]

DEFAULTS = ServerSettings()


@dataclass
class Enveloped:
    """Calls go out and come back as bytes, so that a test can send what is no message."""

    channel: aio.Channel
    admission: Admission

    def unary(self, raw: bytes = b"", **options: Any) -> aio.UnaryUnaryCall[bytes, bytes]:
        call: aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(UNARY)
        return call(raw, **options)

    def stream(self, raw: bytes = b"", **options: Any) -> aio.UnaryStreamCall[bytes, bytes]:
        call: aio.UnaryStreamMultiCallable[bytes, bytes] = self.channel.unary_stream(STREAM)
        return call(raw, **options)


def method(shape: str, act: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    """For :func:`enveloped`: a method that does ``act``, after it sent a message if it is a stream."""

    async def unary(request: Any, context: Any) -> GetFlowResponse:
        await act()
        return GetFlowResponse()

    async def generator(request: Any, context: Any) -> AsyncIterator[TailEventsResponse]:
        yield FRAME
        await act()

    async def writer(request: Any, context: Any) -> None:
        await context.write(FRAME)
        await act()

    return {"unary": unary} if shape == "unary" else {"stream": generator if shape == "generator" else writer}


@asynccontextmanager
async def enveloped(
    *,
    unary: Behavior | None = None,
    stream: Behavior | None = None,
    authenticator: Authenticator | None = None,
    settings: ServerSettings = DEFAULTS,
) -> AsyncIterator[Enveloped]:
    """``unary`` answers GetFlow, ``stream`` TailEvents."""
    admitted = Admission(settings)
    envelope = Envelope(authenticator or OpenAuthenticator(), admitted, settings)
    server = aio.server(interceptors=(envelope,), options=[("grpc.so_reuseport", 0)])
    if unary is not None:
        handler: Any = grpc.unary_unary_rpc_method_handler(
            unary, GetFlowRequest.FromString, GetFlowResponse.SerializeToString
        )
        _serve(server, UNARY, handler)
    if stream is not None:
        handler = grpc.unary_stream_rpc_method_handler(
            stream, TailEventsRequest.FromString, TailEventsResponse.SerializeToString
        )
        _serve(server, STREAM, handler)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Enveloped(channel, admitted)
    finally:
        await server.stop(None)


def _serve(server: aio.Server, path: str, handler: Any) -> None:
    service, method = path[1:].split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
