"""Calls of a function that may never come back."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from flowstate_server.programs.stuck_calls import MOST_STUCK, StuckCalls, StuckError
from flowstate_server.programs.threads import DaemonThreads

_stuck = StuckCalls()


class TimedCalls:
    """Calls of one function, sync in threads of its own or async, each for a limited time.

    One that has not ended by then is not waited for any longer. Code can't be stopped from outside, though: a thread
    goes on, and so does a coroutine that does not end when it is cancelled.
    """

    def __init__(self, function: Callable[..., Any], threads: str) -> None:
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function)
        # As many as may be stuck: however many call at once, one that hangs takes no more.
        self._threads = DaemonThreads(threads, limit=MOST_STUCK)
        self._deaf: set[asyncio.Future[Any]] = set()

    async def call(self, seconds: float, /, *arguments: Any) -> Any:
        """What the function gives, or what it raises.

        Raises:
            TimeoutError: it has given nothing for ``seconds``.
            StuckError: earlier calls have not ended, this one was not begun.
        """
        if len(self._deaf) >= MOST_STUCK:
            raise StuckError
        deadline = asyncio.get_running_loop().time() + seconds
        if self._is_async:
            return await self._waited(self._function(*arguments), deadline)
        function = partial(self._function, *arguments)
        async with asyncio.timeout(seconds):
            value = await _stuck.call(self._threads, id(self._function), seconds, function)
        return await self._waited(value, deadline) if inspect.isawaitable(value) else value

    async def _waited(self, value: Awaitable[Any], deadline: float) -> Any:
        task = asyncio.ensure_future(_told(value))
        try:
            await asyncio.wait((task,), timeout=deadline - asyncio.get_running_loop().time())
        finally:
            if not task.done():
                task.cancel()
                self._deaf.add(task)
                task.add_done_callback(self._deaf.discard)
        if not task.done():
            raise TimeoutError
        result, error = task.result()
        if error is not None:
            raise error
        return result


async def _told(value: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """What comes of it, as a value: some errors end the loop if they leave a task."""
    try:
        return await value, None
    except BaseException as error:
        return None, error
