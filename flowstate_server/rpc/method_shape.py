"""The four shapes of gRPC methods: taking a generated handler apart, and making one around other code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError, Message

from flowstate_server.errors import MalformedMessageError

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class MethodShape:
    """A method's own code and its codecs.

    ``yields`` says of a method with a stream of responses that it is an async generator; otherwise it writes by itself.
    """

    behavior: Behavior
    request_streaming: bool
    response_streaming: bool
    parse: Callable[[bytes], Message]
    serialize: Callable[[Message], bytes]
    yields: bool


def read_shape(handler: Handler) -> MethodShape:
    behavior = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    if behavior is None or handler.request_deserializer is None or handler.response_serializer is None:
        raise TypeError("a method handler without code or codecs")
    return MethodShape(
        behavior=cast(Behavior, behavior),
        request_streaming=handler.request_streaming,
        response_streaming=handler.response_streaming,
        parse=_strict(handler.request_deserializer),
        serialize=handler.response_serializer,
        yields=inspect.isasyncgenfunction(behavior),
    )


def unary_handler(serve: Behavior) -> Handler:
    """``serve`` is a coroutine function from bytes to bytes."""
    return grpc.unary_unary_rpc_method_handler(serve)


def stream_handler(serve: Behavior, serialize: Callable[[Message], bytes] | None = None) -> Handler:
    """``serve`` is a coroutine function that gets bytes and writes; bytes, unless it is given ``serialize``."""
    return grpc.unary_stream_rpc_method_handler(serve, response_serializer=serialize)


def conversation_handler(serve: Behavior, parse: Callable[[bytes], Message] | None = None) -> Handler:
    """``serve`` is a coroutine function that gets a stream of messages and writes bytes."""
    return grpc.stream_stream_rpc_method_handler(serve, request_deserializer=parse)


def _strict(parse: Callable[[bytes], Any]) -> Callable[[bytes], Message]:
    def parse_or_refuse(raw: bytes) -> Message:
        try:
            return cast(Message, parse(raw))
        except DecodeError:
            raise MalformedMessageError() from None

    return parse_or_refuse
