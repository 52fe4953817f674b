"""Calls of a function that may never come back."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from flowstate_server.programs.threads import DaemonThreads

STUCK = 2
"""Calls of one function that may stay stuck; then no more are begun until one of them ends."""


class StuckError(Exception):
    """As many calls of the function have not come back as may be."""


class TimedCalls:
    """Calls of one function, sync in threads of its own or async, each for a limited time.

    One that has not ended by then is not waited for any longer. Code can't be stopped from outside, though: a thread
    goes on, and so does a coroutine that does not end when it is cancelled.
    """

    def __init__(self, function: Callable[..., Any], threads: str) -> None:
        self._function = function
        self._threads = DaemonThreads(threads, limit=STUCK)
        self._is_async = inspect.iscoroutinefunction(function)
        self._stuck: set[object] = set()

    async def call(self, seconds: float, /, *arguments: Any) -> Any:
        """What the function gives, or what it raises.

        Raises:
            TimeoutError: it has given nothing for ``seconds``.
            StuckError: calls of before are stuck, this one was not begun.
        """
        if len(self._stuck) >= STUCK:
            raise StuckError
        deadline = asyncio.get_running_loop().time() + seconds
        if self._is_async:
            return await self._waited(self._function(*arguments), deadline)
        value = await self._in_thread(partial(self._function, *arguments), seconds)
        return await self._waited(value, deadline) if inspect.isawaitable(value) else value

    async def _in_thread(self, function: Callable[[], Any], seconds: float) -> Any:
        call = _ThreadCall(function, self._stuck)
        try:
            async with asyncio.timeout(seconds):
                return await self._threads.begin(call.work)
        finally:
            call.leave()

    async def _waited(self, value: Awaitable[Any], deadline: float) -> Any:
        task = asyncio.ensure_future(_told(value))
        try:
            await asyncio.wait((task,), timeout=deadline - asyncio.get_running_loop().time())
        finally:
            if not task.done():
                task.cancel()
                self._stuck.add(task)
                task.add_done_callback(self._stuck.discard)
        if not task.done():
            raise TimeoutError
        result, error = task.result()
        if error is not None:
            raise error
        return result


class _ThreadCall:
    """A call in a thread; if it has not ended when it is left it counts as stuck until it does."""

    def __init__(self, function: Callable[[], Any], stuck: set[object]) -> None:
        self._function = function
        self._stuck = stuck
        self._begun = self._ended = False

    def work(self) -> Any:
        self._begun = True
        try:
            return self._function()
        finally:
            self._ended = True
            self._stuck.discard(self)

    def leave(self) -> None:
        if self._begun:
            self._stuck.add(self)
        if self._ended:  # perhaps just now, on its thread
            self._stuck.discard(self)


async def _told(value: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """What comes of it, as a value: some errors end the loop if they leave a task."""
    try:
        return await value, None
    except BaseException as error:
        return None, error
