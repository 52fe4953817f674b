"""What a server tells over a long time: one call after another, as often as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from grpc import StatusCode

from flowstate_client.arguments import seconds
from flowstate_client.calls import Caller
from flowstate_client.connections import TailLease
from flowstate_client.correlation import present_correlation_id
from flowstate_client.error_reasons import is_draining, is_passing
from flowstate_client.errors import (
    ApiError,
    ConnectError,
    DeadlineExceeded,
    SlowConsumer,
    Unauthenticated,
)
from flowstate_client.metadata import Pairs
from flowstate_client.retry import Outage
from flowstate_client.tail_call import SilenceError, TailCall

T = TypeVar("T")

# Seconds, the server's default; what a server says of itself replaces it. Three missed heartbeats mean a dead
# connection: one may be late behind a large frame, two behind a pause of the server.
DEFAULT_HEARTBEAT = 15.0
SILENT_HEARTBEATS = 3

_logger = logging.getLogger("flowstate_client")


class ResumingStream(ABC, Generic[T]):
    """Values from a stream of the server that is opened anew when it breaks off.

    Use it in ``async for``, or in ``async with`` where the end of use should not wait for anything. It survives lost
    connections, servers that go away and proxies that close or freeze streams, with growing pauses. Leaving the loop by
    ``break``, an exception or a cancellation ends the call on the server at once, as soon as nobody holds the stream; a
    stream kept in a variable can be iterated further, and is ended by ``async with`` or ``aclose()``. Nothing is sent
    before the first value is asked for.
    """

    def __init__(self, caller: Caller, *, max_outage: float | None) -> None:
        self._caller = caller
        self._max_outage = seconds(max_outage, "max_outage")
        self._waiting: deque[T] = deque()
        self._lease: TailLease | None = None
        self._call: TailCall | None = None
        self._answered = False  # whether the present call has delivered anything
        self._metadata: Pairs = ()
        self._called = ""
        self._began = 0.0
        self._renewed = False  # whether the caller's provider was asked for other credentials
        self._correlation_id = present_correlation_id()
        self._closed = False
        self._busy = False
        config = caller.config
        first_budget = config.timeout if max_outage is None else min(config.timeout, max_outage)
        self._outage = Outage(config.backoff, budget=first_budget, healthy_after=config.healthy_after)

    @abstractmethod
    def _open(self, lease: TailLease) -> tuple[Callable[..., grpc.aio.UnaryStreamCall[Any, Any]], Message]:
        """The method to call and the request, from where the last call broke off."""

    @abstractmethod
    def _take(self, message: Any) -> Sequence[T] | None:
        """The values of the next message, often none; ``None`` if it is no sign yet that the stream is well."""

    @property
    @abstractmethod
    def _ended(self) -> bool:
        """Whether the server has said that it is over."""

    @property
    @abstractmethod
    def _silence(self) -> float:
        """Seconds without a message after which the call counts as dead."""

    @property
    @abstractmethod
    def _method(self) -> str:
        """``Service/Method`` of the call."""

    @property
    @abstractmethod
    def _subject(self) -> str:
        """What it is about, for the log."""

    async def _completed(self, value: T) -> T:
        """The value as it is yielded."""
        return value

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._busy:
            raise RuntimeError("this stream is already being read by another task")
        self._busy = True
        try:
            while not self._waiting:
                if self._closed:
                    raise StopAsyncIteration
                if self._ended:
                    await self._finish()
                else:
                    self._waiting.extend(await self._more())
            self._waiting[0] = await self._completed(self._waiting[0])
        except asyncio.CancelledError:
            # Not closed: who catches the cancellation may read on, from the same position.
            self._hang_up()
            task = asyncio.current_task()
            if self._closed and (task is None or not task.cancelling()):
                raise StopAsyncIteration from None
            self._caller.raise_if_closed()
            raise
        except BaseException:
            self._close()
            raise
        finally:
            self._busy = False
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """Ends the stream; the server is told at once. Harmless if it is over."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def _more(self) -> Sequence[T]:
        """The values of the next message; reconnects as often as it takes."""
        while True:
            try:
                if self._call is None:
                    self._call = await self._dial()
                config = self._caller.config
                silence = self._silence if self._answered else config.connect_timeout
                message = await self._call.read(silence)
            except grpc.aio.AioRpcError as rpc_error:
                error = await self._caller.error_of(rpc_error, self._method, self._metadata)
            except SilenceError:
                error = self._broken("nothing came from the server for too long")
            except ApiError as unanswered:  # the server could not be asked whether it serves this
                error = unanswered
            else:
                if message is not None:
                    return self._taken(message)
                error = self._broken("the stream was closed before its end")
            self._hang_up(error.code, error)
            if is_draining(error) and self._lease is not None:
                self._caller.channels.leave(self._lease.connection)
            await self._pause(error)
            if self._ended:
                return ()

    def _taken(self, message: Any) -> Sequence[T]:
        self._answered, self._renewed = True, False
        values = self._take(message)
        if values is None:
            return ()
        self._outage.over()
        self._outage.budget = self._max_outage
        return values

    async def _dial(self) -> TailCall:
        self._caller.check_open()
        if self._lease is None or self._lease.connection.left:
            self._lease = self._caller.channels.lease_tail()
        call, request = self._open(self._lease)
        self._called = self._method
        await self._caller.require_served(self._called, request)
        self._metadata = await self._caller.metadata_of(self._correlation_id, self._caller.config.timeout)
        self._answered = False
        self._began = time.monotonic()
        return TailCall(call(request, metadata=self._metadata))

    async def _pause(self, error: ApiError) -> None:
        if isinstance(error, Unauthenticated) and not self._renewed:
            self._renewed = True
            timeout = self._caller.config.timeout
            if await self._caller.metadata_of(self._correlation_id, timeout) != self._metadata:
                return
        resumes = is_passing(error) or isinstance(error, (SlowConsumer, DeadlineExceeded))
        pause = self._outage.failed(retry_after=error.retry_after) if resumes else None
        if pause is None:
            raise error
        self._caller.channels.waiting.notice(error, self._outage.seconds)
        _logger.info("the stream of %s broke off, resumes in %.2f s: %s", self._subject, pause, error)
        await asyncio.sleep(pause)

    async def _finish(self) -> None:
        """Lets the call end by itself after its last message, so that the server sees no cancellation."""
        if self._call is not None:
            with contextlib.suppress(grpc.aio.AioRpcError, SilenceError):
                await self._call.read(1.0)
            self._hang_up(StatusCode.OK)
        self._close()

    def _hang_up(self, code: StatusCode = StatusCode.CANCELLED, error: ApiError | None = None) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
            self._caller.tell(self._called, self._metadata, code, self._began, error)

    def _close(self) -> None:
        self._closed = True
        self._waiting.clear()
        self._hang_up()
        self._lease = None

    def _broken(self, problem: str) -> ConnectError:
        return ConnectError(
            problem, code=StatusCode.UNAVAILABLE, method=self._method, correlation_id=self._correlation_id
        )


def heartbeat(interval: float | None) -> Duration | None:
    """The heartbeat to ask the server for, if any."""
    if interval is None:
        return None
    duration = Duration()
    duration.FromNanoseconds(round(interval * 1e9))
    return duration
