"""Calls of any method by name, and every byte that comes back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from flowstate_server.rpc.methods import PACKAGE
from tests.support.contract import METHODS
from tests.support.wire import Refusal, read_refusal

Metadata = tuple[tuple[str, str], ...]

ENDLESS = {"SessionService/WatchSnapshot": 2}
"""Streams that stay open, and after how many messages they have told all that there is."""


@dataclass
class Answer:
    """What a caller gets to see of one call."""

    method: str
    messages: list[bytes] = field(default_factory=list)
    metadata: list[tuple[str, str | bytes]] = field(default_factory=list)
    """Initial and trailing."""
    error: aio.AioRpcError | None = None

    @property
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.OK if self.error is None else self.error.code()

    @property
    def refusal(self) -> Refusal:
        """The refusal, which keeps all the rules for refusals."""
        assert self.error is not None, f"{self.method} was not refused"
        return read_refusal(self.error)

    @property
    def text(self) -> bytes:
        """Everything: messages, metadata, status."""
        parts = list(self.messages)
        for key, value in self.metadata:
            parts += [key.encode(), value if isinstance(value, bytes) else value.encode()]
        if self.error is not None:
            parts.append((self.error.details() or "").encode())
            parts.append((self.error.debug_error_string() or "").encode())
        return b"\n".join(parts)

    @property
    def replies(self) -> list[Any]:
        kind = GetMessageClass(METHODS[self.method].output_type)
        return [kind.FromString(message) for message in self.messages]


async def call_raw(
    channel: aio.Channel,
    method: str,
    request: Message | bytes = b"",
    metadata: Metadata = (),
    timeout: float = 20.0,
) -> Answer:
    """Call ``method`` (``Service/Method``) and read it to its end; one that has none, as far as it tells all."""
    raw = request if isinstance(request, bytes) else request.SerializeToString()
    path = f"/{PACKAGE}.{method}" if method in METHODS else f"/{method}"
    # On the wire a unary call is a stream of one message.
    opened = cast(Any, channel.unary_stream(path))
    call: aio.UnaryStreamCall[bytes, bytes] = opened(raw, metadata=metadata, timeout=timeout)
    answer = Answer(method)
    enough = ENDLESS.get(method)
    try:
        while len(answer.messages) != enough and (message := await call.read()) is not aio.EOF:
            answer.messages.append(cast(bytes, message))
    except aio.AioRpcError as error:
        answer.error = error
    call.cancel()
    for pairs in (await call.initial_metadata(), await call.trailing_metadata()):
        answer.metadata += cast(Any, pairs or ())
    return answer


async def call_all(
    channel: aio.Channel, calls: list[tuple[str, Message]], metadata: Metadata
) -> list[Answer]:
    """All calls, a few at a time, answers in their order."""
    places = asyncio.Semaphore(16)

    async def one(method: str, request: Message) -> Answer:
        async with places:
            return await call_raw(channel, method, request, metadata)

    return await asyncio.gather(*(one(method, request) for method, request in calls))


def new_request(method: str) -> Message:
    """An empty request message of the method."""
    made: Message = GetMessageClass(METHODS[method].input_type)()
    return made
