"""How every call is made: metadata, deadline, repeats, errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from flowstate.v1 import server_service_pb2, server_service_pb2_grpc
from flowstate_client.channel import Channels
from flowstate_client.codec import Codec
from flowstate_client.config import ClientConfig
from flowstate_client.error_reasons import api_error, is_draining, is_passing
from flowstate_client.errors import ApiError, ClientClosedError, FeatureUnavailable, RateLimited
from flowstate_client.ids import new_correlation_id
from flowstate_client.metadata import CORRELATION_ID, CallMetadata, Pairs
from flowstate_client.models import ServerInfo
from flowstate_client.retry import repeat

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)

_SERVER_INFO = "ServerService/GetServerInfo"
# Seconds. What is only asked to explain an error better must not keep the error waiting. Chosen.
_ASIDE = 5.0


class Caller:
    """Makes the calls of one client. ``method`` is always ``Service/Method``, for errors."""

    def __init__(
        self, channels: Channels, metadata: CallMetadata, config: ClientConfig, codec: Codec
    ) -> None:
        self.channels = channels
        self.metadata = metadata
        self.config = config
        self.codec = codec
        self._server_stub = server_service_pb2_grpc.ServerServiceStub(channels.unary)
        self._server_info: ServerInfo | None = None

    async def read(
        self,
        method: str,
        call: grpc.aio.UnaryUnaryMultiCallable[Req, Resp],
        request: Req,
        *,
        timeout: float | None = None,
    ) -> Resp:
        """A call without side effects. gRPC repeats it when the server is away, by the service config; here are the
        repeats that it does not know of, or makes on a connection that is to be left."""

        def repeats(error: ApiError) -> bool:
            return isinstance(error, RateLimited) or is_draining(error)

        return await self._repeated(method, call, request, timeout, repeats)

    async def write(
        self,
        method: str,
        call: grpc.aio.UnaryUnaryMultiCallable[Req, Resp],
        request: Req,
        *,
        timeout: float | None = None,
    ) -> Resp:
        """A call that changes something, repeated with the very same message, so with the same id or key."""
        return await self._repeated(method, call, request, timeout, lambda error: True)

    async def attempt(
        self,
        method: str,
        call: grpc.aio.UnaryUnaryMultiCallable[Req, Resp],
        request: Req,
        *,
        timeout: float,
        correlation_id: str = "",
    ) -> Resp:
        """The call, once.

        Raises:
            ApiError: it ended with a status other than OK.
            ClientClosedError: the client was closed, before or meanwhile.
            ValueError: the message is too large to send.
        """
        self.check_open()
        self.check_size(request)
        metadata = await self.metadata.build(correlation_id or new_correlation_id())
        connection = self.channels.unary_connection
        try:
            return await call(request, timeout=max(timeout, 0.001), metadata=metadata)
        except grpc.aio.AioRpcError as rpc_error:
            error = await self.error_of(rpc_error, method, metadata)
            if is_draining(error):
                self.channels.leave(connection)
            raise error from None
        except grpc.aio.UsageError:
            raise ClientClosedError("the client is closed") from None
        except asyncio.CancelledError:
            self.raise_if_closed()
            raise

    async def error_of(self, error: grpc.aio.AioRpcError, method: str, metadata: Pairs) -> ApiError:
        """The error to raise for what gRPC raised; asks for the server's version where it lacks a feature."""
        found = api_error(error, method=method, correlation_id=str(dict(metadata).get(CORRELATION_ID, "")))
        if isinstance(found, FeatureUnavailable) and method != _SERVER_INFO:
            try:
                found.server_version = (await self.server_info(timeout=_ASIDE)).version
            except ApiError:
                found.server_version = ""
        return found

    async def server_info(self, *, refresh: bool = False, timeout: float | None = None) -> ServerInfo:
        """The server's version, limits and capabilities, asked for once."""
        if self._server_info is None or refresh:
            request = server_service_pb2.GetServerInfoRequest()
            call = self._server_stub.GetServerInfo
            response = await self.read(_SERVER_INFO, call, request, timeout=timeout)
            self._server_info = ServerInfo.from_proto(response)
        return self._server_info

    def check_size(self, request: Message) -> None:
        """Refuses, as a ``ValueError``, a message over the limit."""
        size = request.ByteSize()
        if size > self.config.max_message_bytes:
            raise ValueError(
                f"the message has {size} bytes, at most {self.config.max_message_bytes} can be sent"
            )

    def check_open(self) -> None:
        """Raises ``ClientClosedError`` if the client is closed."""
        if self.channels.closed:
            raise ClientClosedError("the client is closed")

    def raise_if_closed(self) -> None:
        """Tells a cancelled call of a closed client from a cancelled task."""
        task = asyncio.current_task()
        if self.channels.closed and (task is None or not task.cancelling()):
            raise ClientClosedError("the client was closed during the call") from None

    async def _repeated(
        self,
        method: str,
        call: grpc.aio.UnaryUnaryMultiCallable[Req, Resp],
        request: Req,
        timeout: float | None,
        repeats: Callable[[ApiError], bool],
    ) -> Resp:
        correlation_id = new_correlation_id()

        async def attempt(left: float) -> Resp:
            return await self.attempt(method, call, request, timeout=left, correlation_id=correlation_id)

        return await repeat(
            attempt,
            timeout=self.config.timeout if timeout is None else timeout,
            backoff=self.config.backoff,
            passing=lambda error: is_passing(error) and repeats(error),
            noticed=self.channels.waiting.notice,
        )
