"""What every refusal on the wire must look like, and calls that check it."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import aio

from flowstate_server.errors import Reason

CANARY = "canary-7f3a91"
"""Put it where secrets are: into states, exceptions, inputs. No refusal may repeat it."""

TRUSTED = (("x-flowstate-plane", "trusted"),)

T = TypeVar("T")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Refusal:
    """A refused call, as its caller sees it."""

    code: grpc.StatusCode
    reason: Reason
    message: str
    metadata: dict[str, str]
    status: Status

    def detail(self, kind: type[M]) -> M:
        """The one detail of this kind."""
        (packed,) = [one for one in self.status.details if one.TypeName() == kind.DESCRIPTOR.full_name]
        found = kind()
        packed.Unpack(found)
        return found

    @property
    def fields(self) -> list[str]:
        """The paths of ``BadRequest``."""
        return [violation.field for violation in self.detail(BadRequest).field_violations]

    def has(self, kind: type[Message]) -> bool:
        return any(one.TypeName() == kind.DESCRIPTOR.full_name for one in self.status.details)


def read_refusal(error: aio.AioRpcError) -> Refusal:
    """Checks what holds for every refusal that the server itself sends: no UNKNOWN, an ErrorInfo, no canary."""
    trailers = dict(cast(Any, error.trailing_metadata() or ()))
    raw = trailers.get("grpc-status-details-bin", b"")
    assert error.code() is not grpc.StatusCode.UNKNOWN, error
    assert raw, f"no status details: {error}"
    assert len(raw) <= 4096
    assert CANARY.encode() not in raw
    assert CANARY not in (error.details() or "")
    status = Status.FromString(raw)
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "flowstate.dev"
    refusal = Refusal(error.code(), Reason(info.reason), status.message, dict(info.metadata), status)
    assert trailers.get("x-correlation-id")
    assert refusal.has(BadRequest) == (refusal.code is grpc.StatusCode.INVALID_ARGUMENT)
    assert refusal.has(ResourceInfo) == (refusal.code is grpc.StatusCode.NOT_FOUND)
    if refusal.code is grpc.StatusCode.FAILED_PRECONDITION:
        assert refusal.has(PreconditionFailure)
    if refusal.code is grpc.StatusCode.UNAVAILABLE:
        assert refusal.has(RetryInfo)
    return refusal


async def refused(call: Awaitable[Any]) -> Refusal:
    """The refusal of a unary call."""
    with pytest.raises(aio.AioRpcError) as raised:
        await call
    return read_refusal(raised.value)


async def read_one(call: aio.UnaryStreamCall[Any, T]) -> T:
    message = await call.read()
    assert message is not aio.EOF, "the stream has ended"
    return cast(T, message)


async def read_all(call: aio.UnaryStreamCall[Any, T]) -> list[T]:
    """The messages that are left."""
    messages: list[T] = []
    while (message := await call.read()) is not aio.EOF:
        messages.append(cast(T, message))
    return messages


async def refused_stream(call: aio.UnaryStreamCall[Any, Any]) -> Refusal:
    """The refusal of a stream, whatever came before."""
    return await refused(read_all(call))
