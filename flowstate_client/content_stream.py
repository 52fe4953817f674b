"""The content of a resource as it comes from the server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import grpc.aio
from google.protobuf.message import Message

from flowstate.v1 import resource_service_pb2, types_pb2
from flowstate_client.calls import Caller
from flowstate_client.connections import TailLease
from flowstate_client.errors import ProtocolError
from flowstate_client.resource_record import ResourceRecord
from flowstate_client.resuming import DEFAULT_HEARTBEAT, SILENT_HEARTBEATS, ResumingStream

Progress = Callable[[int, int | None], object]
"""Called with the bytes that have gone over, and how many it will be (``None`` while that is not known)."""


class ContentStream(ResumingStream[bytes]):
    """The content of one version of a resource, in pieces.

    Use it in ``async for``, or in ``async with`` where the end of use should not wait for anything. It goes on by
    itself where a broken connection left off, and is checked against its checksum before its last piece is given.

    Attributes:
        resource: What was read, once the first piece has come; its state is plain JSON.
        position: The bytes given so far, with those left out by ``start``.

    Iterating raises:
        ResourceNotFound: there is no such resource, or no content for this caller to see.
        VersionMismatch: the content was replaced, and what it was is gone, while the stream was broken off.
        ConnectError: nothing came for longer than ``max_outage``.
        ProtocolError: the pieces are not those of the content.
    """

    def __init__(
        self,
        caller: Caller,
        scope: types_pb2.ScopeRef,
        name: str,
        *,
        start: int = 0,
        progress: Progress | None = None,
        max_outage: float | None = None,
    ) -> None:
        super().__init__(caller, max_outage=max_outage)
        self.resource: ResourceRecord[Any] | None = None
        self.position = start
        self._start = start
        self._scope = scope
        self._name = name
        self._progress = progress
        self._received = start
        self._hash = hashlib.sha256()

    async def __anext__(self) -> bytes:
        piece = await super().__anext__()
        self.position += len(piece)
        if self._progress is not None:
            self._progress(self.position, None if self.resource is None else self.resource.size)
        return piece

    def _open(self, lease: TailLease) -> tuple[Callable[..., grpc.aio.UnaryStreamCall[Any, Any]], Message]:
        request = resource_service_pb2.ReadContentRequest(
            scope=self._scope,
            name=self._name,
            position=self._received,
            if_sha256=self.resource.sha256 if self.resource is not None else "",
        )
        return lease.resources.ReadContent, request

    def _take(self, message: resource_service_pb2.ReadContentResponse) -> Sequence[bytes]:
        if message.HasField("resource"):
            read: ResourceRecord[Any] = ResourceRecord(message.resource, Any, self._caller.codec)
            if self.resource is None:
                self.resource = read
            elif read.sha256 != self.resource.sha256:
                raise ProtocolError("the content went on as another one")
        if self.resource is None:
            raise ProtocolError("the content began without its resource")
        if not message.data:
            return ()
        if message.position != self._received:
            raise ProtocolError(f"a piece begins at {message.position}, not at {self._received}")
        self._received += len(message.data)
        self._hash.update(message.data)
        if self._received > self.resource.size:
            raise ProtocolError("the content is longer than it is said to be")
        whole = self._ended and self._start == 0
        if whole and self._hash.hexdigest() != self.resource.sha256:
            raise ProtocolError("the content does not have its checksum")
        return (message.data,)

    @property
    def _ended(self) -> bool:
        return self.resource is not None and self._received >= self.resource.size

    @property
    def _silence(self) -> float:
        return DEFAULT_HEARTBEAT * SILENT_HEARTBEATS

    @property
    def _method(self) -> str:
        return "ResourceService/ReadContent"

    @property
    def _subject(self) -> str:
        return self._name
