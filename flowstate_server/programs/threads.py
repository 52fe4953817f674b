"""Threads for the sync functions of authors.

They are daemons: a function that never ends holds up neither the event loop nor the end of the process. They are
reused, and end after a while without work.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from flowstate_server.programs.author_code import contained

T = TypeVar("T")
# A thread that waits costs its stack, a new one some 0.1 ms: between bursts of calls they are kept. Chosen.
IDLE_SECONDS = 10.0
STILL_SECONDS = 0.001
"""The event loop may stand still so long: validators usually take 20 µs, and a turn of the loop costs more."""


class DaemonThreads:
    """``limit`` bounds how many there are (``None``: one for each call in progress); what comes on top waits."""

    def __init__(self, name: str, limit: int | None = None) -> None:
        self._name = name
        self._limit = limit
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0  # jobs
        self._idle = 0
        self._threads = 0

    async def run(self, function: Callable[..., T], /, *arguments: Any) -> T:
        """Call ``function`` in a thread, with the caller's context variables, and wait for it: see :meth:`begin`."""
        return await self.begin(partial(function, *arguments))

    def begin(self, function: Callable[[], T], /, *, still: float = 0.0) -> asyncio.Future[T]:
        """Call ``function`` in a thread, with the caller's context variables.

        ``still`` is for what usually takes less than a turn of the loop: so many seconds it is waited for on the spot.
        Cancelling the answer ends the waiting. A call that has not begun then never does; one that has goes on unheard.
        What ends a thread or a loop rather than a call (``SystemExit``, ``StopIteration``) comes as RuntimeError.
        """
        call = _Call(function, asyncio.get_running_loop())
        self.submit(call.work)
        if not (still and call.ended.acquire(timeout=still)):
            call.heard_later()
        if call.told is not None:
            call.tell()
        return call.answer

    def submit(self, job: Callable[[], None]) -> None:
        """Call ``job`` in a thread. It must raise nothing."""
        with self._lock:
            self._waiting += 1
            more = self._waiting > self._idle and (self._limit is None or self._threads < self._limit)
            self._threads += more
        self._jobs.put(job)
        if more:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()
            del job

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            self._idle += 1
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                job = None
            with self._lock:
                if job is None and self._waiting:
                    continue
                self._idle -= 1
                if job is None:
                    self._threads -= 1
                else:
                    self._waiting -= 1
                return job


class _Call(Generic[T]):
    def __init__(self, function: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[T] = loop.create_future()
        self.ended = threading.Lock()
        self.ended.acquire()
        self.told: Callable[[], None] | None = None
        self._function = function
        self._loop = loop
        self._context = copy_context()
        self._later = False

    def work(self) -> None:
        if self.answer.done():
            return
        try:
            self.told = partial(self.answer.set_result, self._context.run(self._function))
        except BaseException as error:
            self.told = partial(self.answer.set_exception, contained(error))
        self.ended.release()
        if self._later:
            with suppress(RuntimeError):  # the loop was closed
                self._loop.call_soon_threadsafe(self.tell)

    def heard_later(self) -> None:
        """From now on the loop is woken when it has ended; it may have just now."""
        self._later = True

    def tell(self) -> None:
        if self.told is not None and not self.answer.done():
            self.told()
