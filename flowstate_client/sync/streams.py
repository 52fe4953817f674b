"""What streams of the synchronous client share."""

from __future__ import annotations

from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from flowstate_client.sync.loop_thread import LoopThread

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class AsyncStream(Protocol[T_co]):
    """A stream of the asynchronous client."""

    async def __anext__(self) -> T_co: ...

    async def aclose(self) -> None: ...


class Stream(Generic[T]):
    """Values from a stream of the server that is opened anew when it breaks off.

    Use it in ``for``, or in ``with`` where the end of use should not wait for anything. Leaving the loop by ``break``
    or an exception ends the call on the server as soon as nobody holds the stream. One thread reads it at a time;
    another one may close it.
    """

    def __init__(self, thread: LoopThread, stream: AsyncStream[T]) -> None:
        self._thread = thread
        self._stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        found = self._thread.run(_next(self._stream))
        if found is None:
            raise StopIteration
        return found[0]

    def close(self) -> None:
        """Ends the stream; the server is told at once. Harmless if it is over."""
        self._thread.run(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _next(stream: AsyncStream[T]) -> tuple[T] | None:
    try:
        return (await stream.__anext__(),)
    except StopAsyncIteration:
        return None
