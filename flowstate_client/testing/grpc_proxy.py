"""A gRPC proxy that ends streams early, for tests."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio


class GrpcProxy:
    """Passes unary and server-streaming calls on to a server, with their metadata and status::

        async with GrpcProxy(server_target) as proxy:
            proxy.end_streams_after(3)      # the next streams end with OK after 3 messages, as some proxies do
            async with FlowStateClient.connect(proxy.target) as client: ...

    Args:
        upstream: Target of the server, without TLS.

    Attributes:
        calls: Methods called so far (``/flowstate.v1.EventService/TailEvents``), in order.
        open: How many calls are under way.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._channel: grpc.aio.Channel | None = None
        self._server: grpc.aio.Server | None = None
        self._messages = 0
        self._times = 0
        self.port = 0
        self.open = 0
        self.calls: list[str] = []

    @property
    def target(self) -> str:
        """Where to connect to."""
        return f"127.0.0.1:{self.port}"

    def end_streams_after(self, messages: int, *, times: int = 1) -> None:
        """Ends the next ``times`` calls that would deliver more than ``messages`` messages with status OK there.

        A client must not take that for the end of a run.
        """
        self._messages = messages
        self._times = times

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(
            self._upstream, options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        )
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_AnyMethod(self),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            await self._server.stop(None)
        if self._channel is not None:
            await self._channel.close()

    async def forward(self, method: str, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """One call. A unary one is a stream of one message on the wire."""
        assert self._channel is not None
        self.calls.append(method)
        self.open += 1
        sent = [
            (key, value)
            for key, value in context.invocation_metadata() or ()
            if key != "user-agent" and not key.startswith("grpc-")
        ]
        opened: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self._channel.unary_stream(method)
        call = opened(request, metadata=sent, timeout=context.time_remaining())
        passed = 0
        try:
            async for message in call:
                if self._times and passed >= self._messages:
                    self._times -= 1
                    return
                await context.write(message)
                passed += 1
            context.set_trailing_metadata(tuple(await call.trailing_metadata()))
        except grpc.aio.AioRpcError as error:
            trailers = tuple(error.trailing_metadata() or ())
            await context.abort(error.code(), error.details() or "", trailers)
        finally:
            self.open -= 1
            call.cancel()


class _AnyMethod(grpc.GenericRpcHandler):
    def __init__(self, proxy: GrpcProxy) -> None:
        self._proxy = proxy

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        method = handler_call_details.method

        async def forward(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await self._proxy.forward(method, request, context)

        handler: Any = forward
        return grpc.unary_stream_rpc_method_handler(handler)
