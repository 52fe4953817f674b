"""How every call is made: metadata, deadline, repeats, errors."""

from __future__ import annotations

import asyncio
import builtins
import logging
import time
from collections.abc import Callable
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from flowstate.v1 import server_service_pb2, server_service_pb2_grpc
from flowstate_client.arguments import seconds
from flowstate_client.capabilities import optional_fields
from flowstate_client.channel import Channels
from flowstate_client.codec import Codec
from flowstate_client.config import ClientConfig
from flowstate_client.correlation import FinishedCall, OnCall, present_correlation_id
from flowstate_client.error_reasons import api_error, is_draining, is_passing
from flowstate_client.errors import (
    ApiError,
    ClientClosedError,
    FeatureUnavailable,
    RateLimited,
    TimeoutError,
    Unauthenticated,
)
from flowstate_client.metadata import CORRELATION_ID, CallMetadata, Pairs
from flowstate_client.models import ServerInfo
from flowstate_client.retry import repeat

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)

_logger = logging.getLogger("flowstate_client")

_SERVER_INFO = "ServerService/GetServerInfo"
# Seconds. What is only asked to explain an error better must not keep the error waiting. Chosen.
_ASIDE = 5.0


class Caller:
    """Makes the calls of one client. ``method`` is always ``Service/Method``, for errors."""

    def __init__(
        self,
        channels: Channels,
        metadata: CallMetadata,
        config: ClientConfig,
        codec: Codec,
        on_call: OnCall | None = None,
    ) -> None:
        self.channels = channels
        self.metadata = metadata
        self.config = config
        self.codec = codec
        self.on_call = on_call
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
        repeats that it does not know of, or makes on a connection that is to be left. A server that stops cancels the
        calls that it had not begun."""

        def repeats(error: ApiError) -> bool:
            return (
                isinstance(error, RateLimited)
                or is_draining(error)
                or error.code is grpc.StatusCode.CANCELLED
            )

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
        """The call, once; and again at once where a provider has other credentials than those that were refused.

        Raises:
            ApiError: it ended with a status other than OK.
            ClientClosedError: the client was closed, before or meanwhile.
            FeatureUnavailable: the server would ignore a part of the message.
            TimeoutError: the provider of metadata has not answered in time.
            ValueError: the message is too large to send.
        """
        self.check_open()
        self.check_size(request)
        await self.require_served(method, request)
        correlation_id = correlation_id or present_correlation_id()
        deadline = time.monotonic() + timeout
        metadata = await self.metadata_of(correlation_id, timeout)
        try:
            return await self._once(method, call, request, timeout, metadata)
        except Unauthenticated:
            renewed = await self.metadata_of(correlation_id, deadline - time.monotonic())
            if renewed == metadata:
                raise
        return await self._once(method, call, request, deadline - time.monotonic(), renewed)

    async def _once(
        self,
        method: str,
        call: grpc.aio.UnaryUnaryMultiCallable[Req, Resp],
        request: Req,
        timeout: float,
        metadata: Pairs,
    ) -> Resp:
        connection = self.channels.unary_connection
        began = time.monotonic()
        error: ApiError | None = None
        code = grpc.StatusCode.CANCELLED
        try:
            response = await call(request, timeout=max(timeout, 0.001), metadata=metadata)
            code = grpc.StatusCode.OK
            return response
        except grpc.aio.AioRpcError as rpc_error:
            error = await self.error_of(rpc_error, method, metadata)
            code = error.code
            if is_draining(error):
                self.channels.leave(connection)
            raise error from None
        except grpc.aio.UsageError:
            raise ClientClosedError("the client is closed") from None
        except asyncio.CancelledError:
            self.raise_if_closed()
            raise
        finally:
            self.tell(method, metadata, code, began, error)

    async def metadata_of(self, correlation_id: str, timeout: float) -> Pairs:
        """The metadata of one attempt.

        Raises:
            TimeoutError: the caller's provider has not said its part in time.
            What that raises, and ``ValueError`` for what cannot be sent.
        """
        limit = asyncio.timeout(timeout if self.metadata.asks else None)
        try:
            async with limit:
                return await self.metadata.build(correlation_id)
        except builtins.TimeoutError:
            if not limit.expired():
                raise
        raise TimeoutError(f"the provider of metadata has not answered within {timeout:.3g} s")

    def tell(
        self,
        method: str,
        metadata: Pairs,
        code: grpc.StatusCode,
        began: float,
        error: ApiError | None = None,
    ) -> None:
        """Tells ``on_call`` of a call that is over."""
        if self.on_call is None:
            return
        correlation_id = str(dict(metadata).get(CORRELATION_ID, ""))
        try:
            self.on_call(FinishedCall(method, correlation_id, code, time.monotonic() - began, error))
        except Exception:
            _logger.exception("on_call has failed for %s", method)

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

    async def require_served(self, method: str, request: Message) -> None:
        """Refuses a message with a field that the server does not know, and would ignore. Asks it once for what it
        serves, at the first message with a field that not every release has.

        Raises:
            FeatureUnavailable: the server does not serve it.
            ApiError: the server could not be asked.
        """
        if not (features := optional_fields(request)):
            return
        info = await self.server_info()
        for feature in features:
            if feature not in info.capabilities:
                error = FeatureUnavailable(
                    f"{feature} is not served",
                    code=grpc.StatusCode.UNIMPLEMENTED,
                    method=method,
                    metadata={"feature": feature},
                )
                error.server_version = info.version
                raise error

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
        correlation_id = present_correlation_id()

        async def attempt(left: float) -> Resp:
            return await self.attempt(method, call, request, timeout=left, correlation_id=correlation_id)

        return await repeat(
            attempt,
            timeout=self.config.timeout if seconds(timeout, "timeout") is None else timeout or 0.0,
            backoff=self.config.backoff,
            passing=lambda error: is_passing(error) and repeats(error),
            noticed=self.channels.waiting.notice,
        )
