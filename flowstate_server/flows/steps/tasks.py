"""Blocks side by side, of which none outlives those who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_HELPERS: ContextVar[Helpers | None] = ContextVar("flowstate_helpers", default=None)


def being_stopped() -> bool:
    """Whether the running task, or one around it, is cancelled by those who began it.

    Not told by ``Task.cancelling``: the TaskGroup of Python before 3.13 does not always take its own requests back.
    """
    helpers = _HELPERS.get()
    return helpers is not None and helpers.being_stopped


class Helpers:
    """Tasks that one execution begins, and that are cancelled together."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[Any]] = []
        self._around = _HELPERS.get()
        self._stopping = False

    @property
    def being_stopped(self) -> bool:
        return self._stopping or (self._around is not None and self._around.being_stopped)

    def begin(self, *coroutines: Coroutine[Any, Any, Any]) -> None:
        before = _HELPERS.set(self)
        try:
            self.tasks += map(asyncio.create_task, coroutines)
        finally:
            _HELPERS.reset(before)

    def cancel(self) -> None:
        """Cancel all but the one that calls it, once."""
        if not self._stopping:
            self._stopping = True
            self._cancel()

    async def stop(self) -> None:
        """Cancel all and wait until they have ended, also if that is to be cancelled: they are told again then."""
        self.cancel()
        cancelled: asyncio.CancelledError | None = None
        while running := [task for task in self.tasks if not task.done()]:
            try:
                await asyncio.wait(running)
            except asyncio.CancelledError as error:
                cancelled = error
                self._cancel()
        self.failures()
        if cancelled is not None:
            raise cancelled

    def failures(self) -> list[BaseException]:
        """What those that have ended failed by, in the order of their beginnings."""
        ended = [task for task in self.tasks if task.done()]
        found = [asyncio.CancelledError() if task.cancelled() else task.exception() for task in ended]
        return [failure for failure in found if failure is not None]

    def _cancel(self) -> None:
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()


async def run_all(jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], at_most: int | None) -> list[T]:
    """What ``jobs`` give, in their order; they begin in it too, ``at_most`` of them at the same time.

    The first failure cancels those under way, keeps others from beginning, and is raised when all have ended; so does
    being cancelled.
    """
    if len(jobs) <= 1 or at_most == 1:
        return [await job() for job in jobs]
    return await _Crew(jobs).work(len(jobs) if at_most is None else min(at_most, len(jobs)))


class _Crew:
    """Tasks that take one job after the other, until there are no more or one has failed."""

    def __init__(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, Any]]]) -> None:
        self._waiting = iter(enumerate(jobs))
        self._outputs: list[Any] = [None] * len(jobs)
        self._helpers = Helpers()
        self._first: BaseException | None = None

    async def work(self, size: int) -> list[Any]:
        self._helpers.begin(*[self._take_jobs() for _ in range(size)])
        try:
            await asyncio.wait(self._helpers.tasks)
        except asyncio.CancelledError:
            await self._helpers.stop()
            raise
        except BaseException:  # GeneratorExit: nobody can wait any more
            self._helpers.cancel()
            raise
        self._helpers.failures()  # or the loop would say that nobody heard them
        if self._first is not None:
            first, self._first = self._first, None
            try:
                raise first
            finally:
                del first  # or its traceback holds the frame that holds it
        return self._outputs

    async def _take_jobs(self) -> None:
        helpers = self._helpers
        try:
            for index, job in self._waiting:
                if helpers.being_stopped:
                    break
                self._outputs[index] = await job()
        except BaseException as error:
            if not helpers.being_stopped:
                self._first = error
            helpers.cancel()
            raise
