"""Threads for the sync functions of authors.

They are daemons: a function that never ends holds up neither the event loop nor the end of the process. They are
reused, and end after a while without work.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeVar

from flowstate_server.programs.author_code import contained

T = TypeVar("T")
# A thread that waits costs its stack, a new one some 0.1 ms: between bursts of calls they are kept. Chosen.
IDLE_SECONDS = 10.0


class DaemonThreads:
    """``limit`` bounds how many there are (``None``: one for each call in progress); what comes on top waits."""

    def __init__(self, name: str, limit: int | None = None) -> None:
        self._name = name
        self._limit = limit
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], None]] = deque()
        self._idle = 0
        self._threads = 0

    async def run(self, function: Callable[..., T], /, *arguments: Any) -> T:
        """Call ``function`` in a thread, with the caller's context variables, and wait for it.

        Cancelling the caller ends the waiting. A call that has not begun then never does; one that has goes on unheard.
        What ends a thread or a loop rather than a call (``SystemExit``, ``StopIteration``) comes as RuntimeError.
        """
        answer: Future[T] = Future()
        context = copy_context()

        def job() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                result = context.run(function, *arguments)
            except BaseException as error:
                answer.set_exception(contained(error))
            else:
                answer.set_result(result)

        self._submit(job)
        return await asyncio.wrap_future(answer)

    def _submit(self, job: Callable[[], None]) -> None:
        with self._changed:
            self._waiting.append(job)
            if self._idle >= len(self._waiting):
                self._changed.notify()
                return
            if self._limit is not None and self._threads >= self._limit:
                return
            self._threads += 1
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()
            del job

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._waiting:
                self._idle += 1
                woken = self._changed.wait(IDLE_SECONDS)
                self._idle -= 1
                if not woken and not self._waiting:
                    self._threads -= 1
                    return None
            return self._waiting.popleft()
