"""Plays an endpoint for chat completions in the manner of OpenAI, over HTTP on the loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

CUT = object()
"""Among the pieces of a stream: the connection is reset."""
CLOSE = object()
"""Among the pieces of a stream: the body ends, as if that were all."""
DONE = b"data: [DONE]\n\n"

Piece = bytes | float | Mapping[str, Any] | asyncio.Event | object


def delta(finish: str | None = None, **fields: Any) -> Mapping[str, Any]:
    """A chunk of a completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "play-1",
        "choices": [{"index": 0, "delta": fields, "finish_reason": finish}],
    }


def text(piece: str) -> Mapping[str, Any]:
    return delta(role="assistant", content=piece)


def tool_piece(
    index: int, arguments: str, *, call_id: str | None = None, name: str | None = None
) -> Mapping[str, Any]:
    call: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if call_id is not None:
        call |= {"id": call_id, "type": "function"}
    if name is not None:
        call["function"]["name"] = name
    return delta(tool_calls=[call])


def used(tokens_in: int, tokens_out: int) -> Mapping[str, Any]:
    usage = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }
    return {**delta(), "choices": [], "usage": usage}


@dataclass
class Reply:
    """What is answered. Without ``error`` a stream of ``pieces``: chunks, bytes as they are, seconds and events."""

    pieces: Sequence[Piece] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error: bytes | None = None


def whole(*pieces: Piece, finish: str = "stop") -> Reply:
    """A stream that ends as it should."""
    return Reply((*pieces, delta(finish), used(11, 7), DONE))


def failing(status: int, words: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, error=json.dumps({"error": {"message": words}}).encode())


class Endpoint:
    """``url`` is the base that clients are given; the replies are given in the order of the requests."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self._replies = list(replies)
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        """A client has closed its connection while it was being answered."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection, until the client leaves."""
        try:
            request = await _read_request(reader)
            if request is None:
                return
            self.requests.append(request)
            reply = self._replies.pop(0) if self._replies else failing(500, "more calls than replies")
            answering = asyncio.create_task(_answer(reply, writer))
            leaving = asyncio.create_task(reader.read(1))
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self.left.set()
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    except asyncio.IncompleteReadError:
        return None
    size = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length"))
    body: dict[str, Any] = json.loads(await reader.readexactly(size))
    return body


async def _answer(reply: Reply, writer: asyncio.StreamWriter) -> None:
    headers = {"connection": "close", **reply.headers}
    if reply.error is not None:
        headers |= {"content-type": "application/json", "content-length": str(len(reply.error))}
    else:
        headers |= {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {reply.status} X\r\n{head}\r\n".encode() + (reply.error or b""))
    await writer.drain()
    if reply.error is not None:
        return
    for piece in reply.pieces:
        if isinstance(piece, asyncio.Event):
            await piece.wait()
        elif isinstance(piece, float):
            await asyncio.sleep(piece)
        elif piece is CUT:
            writer.transport.abort()
            return
        elif piece is CLOSE:
            break
        else:
            await _write_piece(writer, piece)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _write_piece(writer: asyncio.StreamWriter, piece: Piece) -> None:
    data = piece if isinstance(piece, bytes) else b"data: " + json.dumps(piece).encode() + b"\n\n"
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()


@asynccontextmanager
async def openai_endpoint(*replies: Reply) -> AsyncIterator[Endpoint]:
    """An endpoint that gives ``replies``, one to each request."""
    endpoint = Endpoint(replies)
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield endpoint
    finally:
        server.close()
