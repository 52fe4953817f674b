"""A proxy before a Postgres server that loses a COMMIT, or the answer to one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from urllib.parse import urlsplit, urlunsplit

COMMIT = b"Q" + (4 + len(b"COMMIT\0")).to_bytes(4, "big") + b"COMMIT\0"
"""The message as the driver sends it."""


class Lose(Enum):
    NOTHING = auto()
    REQUEST = auto()
    ANSWER = auto()


class CommitProxy:
    """Cuts the connection of the next COMMIT, before or after the server got it; ``refusing`` ones as well that come
    later."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        assert parts.hostname is not None
        assert parts.port is not None
        self._upstream = (parts.hostname, parts.port)
        self._dsn = dsn
        self._next = Lose.NOTHING
        self._then_refuse = False
        self._refusing = False
        self._open: set[asyncio.Task[None]] = set()
        self.lost = 0
        self.port = 0

    @property
    def dsn(self) -> str:
        parts = urlsplit(self._dsn)
        return urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{self.port}"))

    def lose(self, what: Lose, *, then_refuse: bool = False) -> None:
        self._next, self._then_refuse = what, then_refuse

    def heal(self) -> None:
        self._refusing = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if not self._refusing:
                await self._pass_on(reader, writer)
        except OSError:
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._upstream)
        answers = asyncio.create_task(_copy(server_reader, writer))
        try:
            while data := await reader.read(65536):
                if self._next is not Lose.NOTHING and data == COMMIT:
                    answers.cancel()
                    await asyncio.wait((answers,))
                    if self._next is Lose.ANSWER:
                        server_writer.write(data)
                        await server_reader.read(1)
                    self._next = Lose.NOTHING
                    self._refusing = self._then_refuse
                    self.lost += 1
                    return
                server_writer.write(data)
        finally:
            answers.cancel()
            server_writer.close()

    async def close(self) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def commit_proxy(dsn: str) -> AsyncIterator[CommitProxy]:
    proxy = CommitProxy(dsn)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
