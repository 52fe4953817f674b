"""Content on its way to the server, in pieces that are acknowledged one by one."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from pathlib import Path

from flowstate.v1 import resource_service_pb2, resource_service_pb2_grpc, types_pb2
from flowstate_client.calls import Caller
from flowstate_client.content_stream import Progress
from flowstate_client.errors import ProtocolError
from flowstate_client.ids import new_upload_id

PIECE_BYTES = 1024 * 1024
MAX_CONTENT_BYTES = 64 * 1024 * 1024

ContentSource = bytes | str | os.PathLike[str] | AsyncIterable[bytes]
"""What may be uploaded: bytes, the path of a file, or bytes that come in pieces of any length."""


class Upload:
    """One upload of a content to one resource; memory holds two pieces of it.

    A piece is sent as often as it takes. What the server has acknowledged it has stored, so nothing of that is sent
    again, whichever server answers next.
    """

    def __init__(
        self,
        caller: Caller,
        stub: resource_service_pb2_grpc.ResourceServiceStub,
        scope: types_pb2.ScopeRef,
        name: str,
        *,
        progress: Progress | None,
        timeout: float | None,
    ) -> None:
        self._caller = caller
        self._stub = stub
        self._progress = progress
        self._timeout = timeout
        self._request = resource_service_pb2.WriteContentRequest(
            scope=scope, name=name, upload_id=new_upload_id()
        )
        self._hash = hashlib.sha256()

    async def send(
        self,
        source: ContentSource,
        *,
        media_type: str,
        precondition: types_pb2.Precondition | None,
        request_id: str,
    ) -> resource_service_pb2.WriteContentResponse:
        """
        Raises:
            OSError: the file can't be read.
            TypeError: it is none of what may be uploaded.
            ValueError: it is too large.
            ApiError: the server refuses.
            ProtocolError: the server has lost what it had acknowledged.
        """
        total = await _size(source)
        _check_size(total or 0)
        waiting = b""
        async with aclosing(_pieces(source)) as pieces:
            async for piece in pieces:
                if waiting:
                    await self._send(waiting, total)
                waiting = piece
        self._request.finish = True
        self._hash.update(waiting)
        self._request.content_sha256 = self._hash.hexdigest()
        self._request.media_type = media_type
        if precondition is not None:
            self._request.precondition.CopyFrom(precondition)
        self._request.request_id = request_id
        return await self._write(waiting, total)

    async def _send(self, piece: bytes, total: int | None) -> None:
        _check_size(self._request.position + len(piece))
        self._hash.update(piece)
        await self._write(piece, total)

    async def _write(self, piece: bytes, total: int | None) -> resource_service_pb2.WriteContentResponse:
        request = self._request
        request.data = piece
        method = "ResourceService/WriteContent"
        response = await self._caller.write(method, self._stub.WriteContent, request, timeout=self._timeout)
        reached = request.position + len(piece)
        if response.received != reached:
            raise ProtocolError(f"{reached} bytes were sent, and the server has {response.received}")
        request.position = reached
        if self._progress is not None:
            self._progress(reached, total)
        return response


def _check_size(size: int) -> None:
    if size > MAX_CONTENT_BYTES:
        raise ValueError(f"the content has {size} bytes or more, at most {MAX_CONTENT_BYTES}")


_FORMS = "bytes, the path of a file, or an asynchronous iterator of bytes"


def as_bytes(given: object, place: str) -> bytes:
    """
    Raises:
        TypeError: it is no bytes; naming ``place``.
    """
    if not isinstance(given, bytes | bytearray | memoryview):
        raise TypeError(f"{place} must be bytes, not {type(given).__name__}")
    return bytes(given)


async def _size(source: ContentSource) -> int | None:
    if isinstance(source, bytes | bytearray | memoryview):
        return len(source)
    if isinstance(source, AsyncIterable):
        return None
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"a content is {_FORMS}, not {type(source).__name__}")
    try:
        return (await asyncio.to_thread(Path(source).stat)).st_size
    except OSError as error:
        if not isinstance(source, str):
            raise
        problem = f"{error.strerror}; a text is taken for the path of a file: a content is {_FORMS}"
        raise OSError(error.errno, problem, source) from None


async def _pieces(source: ContentSource) -> AsyncGenerator[bytes, None]:
    """``source`` in pieces of 1 MiB, the last one shorter."""
    if isinstance(source, bytes | bytearray | memoryview):
        for start in range(0, len(source), PIECE_BYTES):
            yield bytes(source[start : start + PIECE_BYTES])
    elif isinstance(source, AsyncIterable):
        waiting = bytearray()
        async for data in source:
            waiting += as_bytes(data, "a piece of a content")
            while len(waiting) >= PIECE_BYTES:
                piece = bytes(waiting[:PIECE_BYTES])
                del waiting[:PIECE_BYTES]
                yield piece
        if waiting:
            yield bytes(waiting)
    else:
        file = await asyncio.to_thread(Path(source).open, "rb")
        try:
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece
        finally:
            file.close()
