"""What lives as long as an engine, and is given to its blocks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from flowstate_server.errors import LifespanError
from flowstate_server.programs.author_code import readable
from flowstate_server.state.code_raised import name_of

Lifespan = Callable[[], AbstractAsyncContextManager[object]]
"""Makes what is entered when an engine opens and left when it closes. What it yields is a dependency of blocks, a tuple
is several of them, ``None`` is none."""

# Leaving it is the author's own code, and a process that is to stop has to. Chosen.
LEAVE_SECONDS = 5.0
# For what is cancelled then; most code ends at once.
CANCEL_SECONDS = 1.0

_logger = logging.getLogger(__name__)


def nothing() -> AbstractAsyncContextManager[object]:
    """The lifespan of an application that has none."""
    return nullcontext()


class OpenLifespan:
    """A lifespan from :meth:`open` to :meth:`close`.

    It is entered and left in a task of its own: an engine is often closed by another task than the one that opened it,
    and a task group or a time limit can be left by none but the task that entered it.
    """

    def __init__(self, lifespan: Lifespan) -> None:
        self._lifespan = lifespan
        self._leave = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> tuple[object, ...]:
        """Enter it, and give what it yields. If the caller is cancelled, so is it.

        Raises:
            LifespanError: it failed; the cause is what it raised.
        """
        entered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        task = self._task = asyncio.create_task(self._live(entered), name="lifespan")
        try:
            await asyncio.wait((entered, task), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait((task,), timeout=CANCEL_SECONDS)
            raise
        if not entered.done():
            error = _error_of(task)
            raise LifespanError(f"{name_of(error)}: {_text(error)}") from error
        task.add_done_callback(self._ended)
        given = entered.result()
        return () if given is None else given if type(given) is tuple else (given,)

    async def close(self) -> None:
        """Leave it. What it raises is logged; after five seconds it is cancelled."""
        self._leave.set()
        task = self._task
        if task is None or task.done():
            return
        try:
            await asyncio.wait((task,), timeout=LEAVE_SECONDS)
        finally:
            task.cancel()
        if not task.done():
            _logger.error("the lifespan has not ended after %g s and is cancelled", LEAVE_SECONDS)
            await asyncio.wait((task,), timeout=CANCEL_SECONDS)

    async def _live(self, entered: asyncio.Future[object]) -> None:
        try:
            async with self._lifespan() as given:
                entered.set_result(given)
                await self._leave.wait()
        except (SystemExit, KeyboardInterrupt) as error:
            # Out of a task they would end the event loop, and everything on it without a word.
            raise LifespanError(name_of(error)) from error

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._leave.is_set():
            _logger.error("the lifespan ended while its server serves on", exc_info=readable(_error_of(task)))
        elif not task.cancelled() and task.exception() is not None:
            _logger.error("the lifespan failed when it was left", exc_info=readable(_error_of(task)))


def _error_of(task: asyncio.Task[None]) -> BaseException:
    if task.cancelled():
        return asyncio.CancelledError("it cancelled itself")
    error = task.exception() or RuntimeError("it ended before it was left")
    return error.__cause__ if isinstance(error, LifespanError) and error.__cause__ else error


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as bad:
        return f"(its text could not be had: {name_of(bad)})"
