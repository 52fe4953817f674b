"""One reading for all who ask for the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from typing import Generic, TypeVar, cast

from flowstate_server.errors import StoreUnavailableError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

AT_ONCE = 24
"""Readings under way. A store has few connections to read with, which are there for others too."""

ANSWERED_AT_ONCE = 25
"""In one turn of the loop: each who is answered has something to write, and calls wait for the turn to end."""


class SharedReads(Generic[K, T]):
    """Answers with what ``read`` gives for a key.

    A reading begins after all whom it answers have asked, so that each sees whatever was committed before it asked:
    who comes while one is under way is answered by the next.
    """

    def __init__(self, read: Callable[[K], Awaitable[T]]) -> None:
        self._read = read
        self._asked: dict[K, list[asyncio.Future[T | Exception]]] = {}
        self._reading: set[asyncio.Task[None]] = set()

    async def read(self, key: K) -> T:
        """What ``read`` gives or raises; cancelling one who waits is nothing to the others."""
        future: asyncio.Future[T | Exception] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(key, []).append(future)
        if len(self._reading) < min(AT_ONCE, len(self._asked)):
            # A context of its own: it reads for no call in particular.
            self._reading.add(asyncio.create_task(self._read_all(), context=Context()))
        answer = await future
        if not isinstance(answer, Exception):
            return answer
        try:
            raise answer
        finally:
            del answer  # or the exception's traceback holds the frame that holds the exception

    async def _read_all(self) -> None:
        try:
            while self._asked:
                key = next(iter(self._asked))
                waiting = [future for future in self._asked.pop(key) if not future.done()]
                if waiting:
                    _answer(waiting, await self._outcome(key))
        finally:
            self._reading.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _outcome(self, key: K) -> T | Exception:
        try:
            return await self._read(key)
        except Exception as error:
            return error
        except asyncio.CancelledError:  # from inside: nobody has this task to cancel
            return StoreUnavailableError()


def _answer(waiting: list[asyncio.Future[T | Exception]], answer: T | Exception) -> None:
    for future in waiting[:ANSWERED_AT_ONCE]:
        if not future.done():
            future.set_result(answer)
    if rest := waiting[ANSWERED_AT_ONCE:]:
        asyncio.get_running_loop().call_soon(_answer, rest, answer)
