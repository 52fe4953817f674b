"""Connections to a server's port that speak something else, or HTTP/2 of the kind that wears servers out."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections.abc import Callable, Mapping, Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _END_HEADERS = 1, 4
_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(193))
"""A TLS ClientHello, near enough."""

Headers = Sequence[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(stream: int, pairs: Headers, flags: int = _END_HEADERS) -> bytes:
    """A frame with these headers as they are, in no table."""
    return frame(
        _HEADERS, flags, stream, b"".join(b"\x00" + _text(key) + _text(value) for key, value in pairs)
    )


def call(path: str, bearer: str) -> Headers:
    """The headers of a gRPC call."""
    return (
        *((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")),
        *(("te", "trailers"), ("content-type", "application/grpc"), ("authorization", bearer)),
    )


def message(data: bytes, compressed: int = 0, length: int | None = None) -> bytes:
    """With the prefix of gRPC, which may lie."""
    return struct.pack(">BI", compressed, len(data) if length is None else length) + data


def many_calls(count: int, path: str, bearer: str, data: bytes = b"") -> bytes:
    """A connection with so many calls at once."""
    begin = PREFACE + frame(_SETTINGS, 0, 0, b"")
    right, whole = call(path, bearer), message(data)
    return begin + b"".join(
        headers(stream, right) + frame(_DATA, _END_STREAM, stream, whole) for stream in range(1, 2 * count, 2)
    )


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) < 127:
        return bytes((len(data),)) + data
    rest, size = len(data) - 127, b"\x7f"
    while rest > 127:
        size += bytes((rest & 127 | 128,))
        rest >>= 7
    return size + bytes((rest,)) + data


def _window(size: int) -> bytes:
    """Settings that leave each stream so much room; 0: nothing is ever read."""
    return frame(_SETTINGS, 0, 0, struct.pack(">HI", 4, size))


def _spoken(path: str, bearer: str, data: bytes, chance: random.Random) -> Mapping[str, Callable[[], bytes]]:
    """What may be said, by what it is."""
    begin = PREFACE + frame(_SETTINGS, 0, 0, b"")
    right = call(path, bearer)
    whole = message(data)

    def streams(count: int, each: Callable[[int], bytes]) -> bytes:
        return b"".join(each(2 * number + 1) for number in range(count))

    return {
        "nothing": lambda: b"",
        "noise": lambda: chance.randbytes(chance.randint(1, 4_000)),
        "HTTP/1.1": lambda: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "half of HTTP/1.1": lambda: b"POST /flowstate.v1 HTTP/1.1\r\nContent-Length: 99999",
        "TLS": lambda: _HELLO,
        "half a preface": lambda: PREFACE[: chance.randint(1, len(PREFACE))],
        "a preface and noise": lambda: PREFACE + chance.randbytes(500),
        "frames at random": lambda: begin + _random_frames(chance),
        "a message that never ends": lambda: begin + headers(1, right) + frame(_DATA, 0, 1, whole[:-1]),
        "a call without its message": lambda: begin + headers(1, right),
        "a call closed without its message": lambda: begin + headers(1, right, _END_HEADERS | _END_STREAM),
        "a call that is never half-closed": lambda: begin + headers(1, right) + frame(_DATA, 0, 1, whole),
        "two messages": lambda: begin + headers(1, right) + frame(_DATA, _END_STREAM, 1, whole * 2),
        "a length that lies": lambda: (
            begin + headers(1, right) + frame(_DATA, _END_STREAM, 1, message(data, length=2**32 - 1))
        ),
        "compressed by nothing": lambda: (
            begin
            + headers(1, right)
            + frame(_DATA, _END_STREAM, 1, message(data, compressed=chance.choice((1, 255))))
        ),
        "no room to answer": lambda: (
            PREFACE
            + _window(0)
            + streams(20, lambda n: headers(n, right) + frame(_DATA, _END_STREAM, n, whole))
        ),
        "calls that are reset at once": lambda: (
            begin
            + streams(
                500,
                lambda n: (
                    headers(n, right)
                    + frame(_DATA, _END_STREAM, n, whole)
                    + frame(_RST, 0, n, struct.pack(">I", 8))
                ),
            )
        ),
        "more streams than may be": lambda: begin + streams(1_200, lambda n: headers(n, right)),
        "headers without end": lambda: (
            begin + headers(1, right, 0) + frame(_CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 500) * 50
        ),
        "headers of every size": lambda: (
            begin + headers(1, (*right, *((f"x-{n}", "y" * chance.randint(0, 900)) for n in range(60))))
        ),
        "another content type": lambda: begin + headers(1, _with(right, "content-type", "text/html")),
        "another method of HTTP": lambda: begin + headers(1, _with(right, ":method", "GET")),
        "a path at random": lambda: (
            begin + headers(1, _with(right, ":path", chance.choice(("/", "", "//", path * 50, "/\x00"))))
        ),
        "pings": lambda: begin + frame(_PING, 0, 0, bytes(8)) * 2_000,
        "settings": lambda: begin + _window(1) * 2_000,
        "no more room": lambda: begin + frame(_WINDOW, 0, 0, struct.pack(">I", 2**31 - 1)) * 2,
        "farewell first": lambda: begin + frame(_GOAWAY, 0, 0, bytes(8)) + headers(1, right),
        "an end before the beginning": lambda: begin + frame(_DATA, _END_STREAM, 1, whole),
    }


KINDS: Sequence[str] = tuple(_spoken("", "", b"", random.Random(0)))


async def speak(target: str, kind: str, path: str, bearer: str, data: bytes, chance: random.Random) -> bytes:
    """Connect, say it (at once or a few bytes at a time), stay for a moment, go; what the server said to it.

    Raises:
        OSError: nobody listens any more.
    """
    said = _spoken(path, bearer, data, chance)[kind]()
    stay, slowly = chance.choice((0.0, 0.05, 0.5)), chance.random() < 0.2
    host, _, port = target.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    heard = b""
    with contextlib.suppress(OSError):  # the server has had enough
        if slowly:
            for start in range(0, min(len(said), 100), 7):
                writer.write(said[start : start + 7])
                await writer.drain()
                await asyncio.sleep(0.02)
        else:
            writer.write(said)
        if chance.random() < 0.3 and writer.can_write_eof():
            writer.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(stay):
                while part := await reader.read(65_536):
                    heard += part
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return heard


def _random_frames(chance: random.Random) -> bytes:
    return b"".join(
        frame(
            chance.randrange(11),
            chance.randrange(256),
            chance.choice((0, 1, 3, 2**31 - 1)),
            chance.randbytes(chance.choice((0, 4, 5, 8, 100))),
        )
        for _ in range(20)
    )


def _with(pairs: Headers, key: str, value: str) -> Headers:
    return tuple((one, value if one == key else old) for one, old in pairs)
