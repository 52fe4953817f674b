"""The envelope: the one interceptor, around every method of the server.

It alone decides the status of a call, and whether and as whom it is served; it writes the access log. Servicers and
the engine raise; only here is an error turned into a status. In the order in which a call meets it: correlation id,
identity, plane, method served, admission and deadline, the message's bytes, fields served, the servicer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from flowstate_server.errors import (
    FeatureDisabledError,
    InternalError,
    MessageTooLargeError,
    ServiceError,
    SlowConsumerError,
)
from flowstate_server.model.ids import new_id
from flowstate_server.observation import NOBODY, Observer
from flowstate_server.programs.author_code import EXITS, contained
from flowstate_server.rpc.access_log import log_call, log_unexpected, observe_call
from flowstate_server.rpc.admission import Admission
from flowstate_server.rpc.authenticators import Authenticator
from flowstate_server.rpc.call_context import (
    CORRELATION_KEY,
    Call,
    ServicerContext,
    enter_call,
)
from flowstate_server.rpc.call_metadata import CallMetadata
from flowstate_server.rpc.features import check_fields
from flowstate_server.rpc.frame_writer import FrameWriter
from flowstate_server.rpc.method_shape import (
    Behavior,
    Handler,
    MethodShape,
    conversation_handler,
    read_shape,
    stream_handler,
    unary_handler,
)
from flowstate_server.rpc.methods import METHODS, check_method, is_probe, max_request_bytes, short_name
from flowstate_server.rpc.status_details import DETAILS_KEY, encode_status, status_code, status_message
from flowstate_server.settings import ServerSettings

T = TypeVar("T")

_OK = grpc.StatusCode.OK.name


class Envelope(aio.ServerInterceptor):
    def __init__(
        self,
        authenticator: Authenticator,
        admission: Admission,
        limits: ServerSettings,
        observer: Observer = NOBODY,
    ) -> None:
        self._authenticator = authenticator
        self._admission = admission
        self._limits = limits
        self._observer = observer
        self._enclosed: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        path = handler_call_details.method
        enclosed = self._enclosed.get(path)
        if enclosed is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return self._unknown(short_name(path)[:100])
            enclosed = self._enclosed[path] = self._enclose(short_name(path), read_shape(handler))
        return enclosed

    def _enclose(self, method: str, shape: MethodShape) -> Handler:
        if shape.request_streaming:
            return conversation_handler(self._stream(method, shape), shape.parse)
        if not shape.response_streaming:
            return unary_handler(self._unary(method, shape))
        if shape.yields:
            return stream_handler(self._stream(method, shape))
        return stream_handler(self._writer(method, shape), shape.serialize)

    def _unary(self, method: str, shape: MethodShape) -> Behavior:
        limit = max_request_bytes(method, self._limits.max_message_bytes)

        async def answer(call: Call, raw: bytes, context: ServicerContext) -> bytes:
            await self._identify(call)
            call.deadline = self._deadline(context)
            with self._admission.unary(call):
                request = self._decode(call, shape, raw, limit)
                return self._encode(call, shape, await shape.behavior(request, context))

        return _enclosed(method, answer, self._observer)

    def _stream(self, method: str, shape: MethodShape) -> Behavior:
        """For async generators, and for a foreign one that reads a stream of requests (reflection)."""

        limit = max_request_bytes(method, self._limits.max_message_bytes)

        async def write_all(call: Call, given: Any, context: ServicerContext) -> None:
            await self._identify(call)
            with self._admission.stream(call):
                request = given if shape.request_streaming else self._decode(call, shape, given, limit)
                await self._write_all(call, shape, shape.behavior(request, context), context)

        return _enclosed(method, write_all, self._observer)

    def _writer(self, method: str, shape: MethodShape) -> Behavior:
        """For a foreign servicer that writes by itself (health ``Watch``)."""

        limit = max_request_bytes(method, self._limits.max_message_bytes)

        async def run(call: Call, raw: bytes, context: ServicerContext) -> None:
            await self._identify(call)
            with self._admission.uncounted(call):
                await shape.behavior(self._decode(call, shape, raw, limit), context)

        return _enclosed(method, run, self._observer)

    def _unknown(self, method: str) -> Handler:
        """Nothing is registered under this name. One of ours (a service that is not served yet) meets identity and
        plane like any other."""

        async def refuse(call: Call, requests: Any, context: ServicerContext) -> None:
            if method in METHODS:
                await self._identify(call)
            raise FeatureDisabledError(method)

        return conversation_handler(_enclosed(method, refuse, self._observer))

    async def _identify(self, call: Call) -> None:
        if is_probe(call.method):
            return
        try:
            call.principal = await self._authenticator.authenticate(call.metadata, call.peer)
        except EXITS as error:  # it may be an author's
            raise contained(error) from error
        check_method(call.method, call.principal.plane)

    def _deadline(self, context: ServicerContext) -> float:
        remaining: float | None = context.time_remaining()
        return asyncio.get_running_loop().time() + (
            self._limits.unary_deadline if remaining is None else remaining
        )

    async def _write_all(self, call: Call, shape: MethodShape, stream: Any, context: ServicerContext) -> None:
        seconds = self._limits.write_timeout
        try:
            with FrameWriter(context, seconds) as writer:
                async for message in stream:
                    data = self._encode(call, shape, message)
                    try:
                        await writer.write(data)
                    except TimeoutError:
                        raise SlowConsumerError(round(seconds), call.sequence) from None
        finally:
            await stream.aclose()

    def _decode(self, call: Call, shape: MethodShape, raw: bytes, limit: int) -> Message:
        call.bytes_in = len(raw)
        if len(raw) > limit:
            raise MessageTooLargeError("The message", len(raw), limit)
        request = call.message = shape.parse(raw)
        check_fields(request)
        return request

    def _encode(self, call: Call, shape: MethodShape, message: Message | bytes) -> bytes:
        """The reply in bytes, which a servicer may have made itself."""
        data = message if isinstance(message, bytes) else shape.serialize(message)
        if len(data) > self._limits.max_message_bytes:
            raise MessageTooLargeError("The reply", len(data), self._limits.max_message_bytes)
        call.bytes_out += len(data)
        call.messages_out += 1
        return data


def _enclosed(
    method: str, answer: Callable[[Call, Any, ServicerContext], Awaitable[T]], observer: Observer
) -> Behavior:
    """``answer``; whatever comes of it, the call ends with one status and one line in the log."""

    async def serve(given: Any, context: ServicerContext) -> T:
        task = asyncio.current_task()
        call = Call(method, CallMetadata(context.invocation_metadata() or ()), context.peer())
        enter_call(call)
        try:
            result = await answer(call, given, context)
            call.code = _OK
            return result
        except aio.AbortError:  # a foreign servicer has answered by itself
            call.code = context.code().name
            raise
        except BaseException as error:
            if task is None or task is not asyncio.current_task() or isinstance(error, EXITS):
                call.code = grpc.StatusCode.CANCELLED.name
                raise
            if _peer_left(task, error):
                call.code = _peer_code(context).name
                raise asyncio.CancelledError from error
            refusal = _refusal(call, error)
        finally:
            log_call(call)
            observe_call(call, observer)
            if call.code == _OK:
                call.message = None  # whose context a run may have taken over
        return await _abort(call, context, refusal)

    return serve


def _peer_left(task: asyncio.Task[Any], error: BaseException) -> bool:
    """Whether the call ended from outside. A cancellation that nobody asked this task for came from inside, and the
    caller would wait for ever if it were passed on."""
    if isinstance(error, asyncio.CancelledError):
        return task.cancelling() > 0
    return isinstance(error, aio.BaseError) and not isinstance(error, aio.UsageError)


def _peer_code(context: ServicerContext) -> grpc.StatusCode:
    """What the peer was told by its own side."""
    expired = context.time_remaining() == 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED


def _refusal(call: Call, error: BaseException) -> ServiceError:
    if isinstance(error, InternalError):
        call.error_id = error.error_id
    elif not isinstance(error, ServiceError):
        call.error_id = new_id("err_")
        log_unexpected(call, error)
        error = InternalError(call.error_id)
    call.code = status_code(error).name
    call.reason = error.reason
    return error


async def _abort(call: Call, context: ServicerContext, refusal: ServiceError) -> NoReturn:
    """Send the status. To a peer that does not read this takes until it reads or leaves.

    A foreign servicer that was stopped while it sent a status of its own has answered already.
    """
    trailing = ((DETAILS_KEY, encode_status(refusal)), (CORRELATION_KEY, call.correlation_id))
    try:
        await context.abort(status_code(refusal), status_message(refusal), trailing)
    except (aio.InternalError, aio.UsageError):
        raise asyncio.CancelledError from None
