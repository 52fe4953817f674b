"""One call of a tail, which is cancelled as soon as nobody holds it."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from flowstate_client.errors import ProtocolError


class SilenceError(Exception):
    """The watchdog: no message within the time."""


class TailCall:
    """A running streaming call with at most one read under way.

    A read is never cancelled by itself (gRPC leaks memory then); the call is cancelled instead, which ends the read.
    Neither the call nor the read refers to this object, so that an abandoned tail goes at once, by reference counting.
    """

    def __init__(self, call: grpc.aio.UnaryStreamCall[Any, Any]) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._reading: asyncio.Task[Any] | None = None

    async def read(self, silence: float) -> Any:
        """The next message; ``None`` at the end of the stream with status OK.

        Raises:
            AioRpcError: the stream ended with another status.
            SilenceError: nothing came for ``silence`` seconds; the call is cancelled.
            CancelledError: the task was cancelled, and the call with it; or the call was cancelled.
        """
        if self._reading is None:
            self._reading = self._loop.create_task(_read(self._call))
        try:
            done, _ = await asyncio.wait({self._reading}, timeout=silence)
        except asyncio.CancelledError:
            self.cancel()
            raise
        if not done:
            self.cancel()
            raise SilenceError
        message = self._reading.result()
        self._reading = None
        if message is grpc.aio.EOF:
            return None
        if message is None:
            raise ProtocolError("the stream holds a message that cannot be read")
        if isinstance(message, BaseException):
            raise message
        return message

    def cancel(self) -> None:
        """Ends the call; the server is told at once. Harmless if it is over."""
        self._call.cancel()

    def __del__(self) -> None:
        if not self._call.done():
            self._cancel_in_its_loop()

    def _cancel_in_its_loop(self) -> None:
        """Garbage may be collected on any thread, gRPC wants its own."""
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            self._call.cancel()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._call.cancel)


async def _read(call: grpc.aio.UnaryStreamCall[Any, Any]) -> Any:
    """What ``call.read()`` gives or raises, as a value, so that an abandoned read ends without a word."""
    try:
        return await call.read()
    except BaseException as error:
        return error
