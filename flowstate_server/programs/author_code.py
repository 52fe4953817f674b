"""The seam between a server and the code of the authors of flows, which may end its own run and nothing else.

asyncio lets ``SystemExit`` and ``KeyboardInterrupt`` of any task or callback out of the event loop, which ends the
whole server. Covered here are:

* what runs in a task of ours (blocks, validators, serializers, factories, derived values, functions for
  ``atomic_state``): whoever calls it turns these into errors with :func:`contained`;
* tasks that such code starts, in whatever way: :func:`guard_tasks`;
* threads: ``programs.threads``;
* what the loop tells of its callbacks and of tasks that nobody awaits: :func:`guard_tasks`.

Left are callbacks that it hands to the loop (``call_soon``, ``add_done_callback``): there is no place to catch these
but around the loop, as ``flowstate serve`` does. Ctrl-C does not come this way, but by a signal.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import traceback
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from types import CodeType, FrameType
from typing import Any, NamedTuple, TypeVar
from weakref import WeakSet

from flowstate_server.errors import (
    ActionError,
    FlowStateError,
    LeaseLostError,
    RequestNotFoundError,
    RequestTerminalError,
)
from flowstate_server.log_context import Subject, about, current_subject
from flowstate_server.programs.run_context import RunContext
from flowstate_server.programs.tracebacks import frames_to_show, without_our_frames
from flowstate_server.state.code_raised import name_of

T = TypeVar("T")
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_logger = logging.getLogger(__name__)

EXITS = (SystemExit, KeyboardInterrupt)
_ENDED = (LeaseLostError, RequestTerminalError, RequestNotFoundError)
# What a loop, a generator or a future takes for something else than an error.
_NO_ERRORS = (StopIteration, StopAsyncIteration, concurrent.futures.CancelledError)


class BlockWork(NamedTuple):
    """The execution of a block."""

    run: RunContext
    path: tuple[str, ...]
    kind: str
    subject: Subject | None

    def __str__(self) -> str:
        return f'{self.kind} "{"/".join(self.path)}" of request {self.run.request_id}'


class OtherWork(NamedTuple):
    """Another call of code of authors: ``what`` names it."""

    what: str
    subject: Subject | None

    def __str__(self) -> str:
        return self.what


Work = BlockWork | OtherWork

AT_WORK: ContextVar[Work | None] = ContextVar("flowstate_at_work", default=None)
"""Whose code runs here; ``None`` for our own. Tasks and threads that it starts inherit it."""

_working: set[CodeType] = set()


def does_work(function: FunctionT) -> FunctionT:
    """Marks a function that calls code of authors: its local variable ``work``, a :data:`Work`, says whose."""
    _working.add(function.__code__)
    return function


def work_of(frame: FrameType | None) -> Work | None:
    """Whose code is running in ``frame``, which may be of another thread; ``None`` for our own."""
    while frame is not None:
        if frame.f_code in _working:
            work: Work | None = frame.f_locals.get("work")
            return work
        frame = frame.f_back
    return None


def stack_of_work(frame: FrameType | None) -> list[FrameType]:
    """The frames of code of authors that runs in ``frame``, outermost first; none where only ours runs."""
    frames: list[FrameType] = []
    while frame is not None and frame.f_code not in _working:
        frames.append(frame)
        frame = frame.f_back
    return [] if frame is None else frames_to_show(frames[::-1])


def other_work(what: str) -> OtherWork:
    """Work for the call or run in whose context this is called."""
    return OtherWork(what, current_subject())


def told_by(error: BaseException) -> BaseException:
    """The one known error that a group of exceptions stands for, else ``error`` itself.

    A group, nested or not, stands for its leaves if they are errors of ours and of one kind, cancellations apart: those
    of the others are how a ``TaskGroup`` ends. ``ActionError``s are of one kind if they have one code.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [leaf for leaf in leaves_of(error) if not isinstance(leaf, asyncio.CancelledError)]
    kinds = {_kind(leaf) for leaf in leaves}
    return leaves[0] if len(kinds) == 1 and None not in kinds else error


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """``error`` itself, or what is in it if it is a group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves_of(inner)
    else:
        yield error


def ends_run(error: BaseException) -> bool:
    """Whether the run that ``error`` comes from has ended elsewhere or may not go on: nothing is to be made of it."""
    return any(isinstance(leaf, _ENDED) for leaf in leaves_of(error))


def _kind(error: BaseException) -> object:
    if isinstance(error, ActionError):
        return (ActionError, error.code)
    if isinstance(error, _ENDED):
        return _ENDED
    return type(error) if isinstance(error, FlowStateError) else None


def contained(error: BaseException) -> Exception:
    """``error`` as what ends a run and nothing else: an error as it is, the one that a group stands for, and what would
    end a loop, a thread or a generator as RuntimeError."""
    told = told_by(error)
    if isinstance(told, Exception) and not isinstance(told, _NO_ERRORS):
        return told
    ended = RuntimeError(f"the function raised {name_of(error)}")
    ended.__cause__ = error
    return ended


def printable(error: BaseException) -> BaseException:
    """``error``, or if it can't be printed, which would cost a log the whole line, one that says where it arose."""
    try:
        traceback.format_exception(error)
    except BaseException:
        return RuntimeError("an exception that can't be printed").with_traceback(error.__traceback__)
    return error


def readable(error: BaseException) -> BaseException:
    """``error`` of code of authors as a log shows it: :func:`printable`, and without our frames around theirs."""
    with suppress(Exception):  # its class may be anything
        without_our_frames(error)
    return printable(error)


def called(function: Callable[..., T], /, *arguments: Any) -> T:
    """Call what awaits nothing, hence is not cancelled either: whatever it raises comes :func:`contained`."""
    try:
        return function(*arguments)
    except Exception:
        raise
    except BaseException as error:
        raise contained(error) from error


class WrappedCoroutine(Coroutine[Any, Any, Any]):
    """A coroutine that is another one in all that it does and shows.

    A class, as a coroutine around a coroutine that is cancelled ahead of its first step never closes the inner one.
    """

    __slots__ = ("__weakref__", "_coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def send(self, value: Any, /) -> Any:
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)


class GuardedCoroutine(WrappedCoroutine):
    """The coroutine of a task that code of authors has started."""

    __slots__ = ("_work",)

    def __init__(self, coroutine: Coroutine[Any, Any, Any], work: Work) -> None:
        super().__init__(coroutine)
        self._work = work

    @property
    def subject(self) -> Subject | None:
        return self._work.subject

    @does_work
    def send(self, value: Any, /) -> Any:
        work = self._work  # noqa: F841 - read by work_of
        try:
            return self._coroutine.send(value)
        except EXITS as error:
            raise contained(error) from error

    @does_work
    def throw(self, *error: Any) -> Any:
        work = self._work  # noqa: F841 - read by work_of
        try:
            return self._coroutine.throw(*error)
        except EXITS as exit:
            raise contained(exit) from exit


_guarding: WeakSet[Callable[..., Any]] = WeakSet()


def _guarding_factory(before: Callable[..., Any] | None) -> Callable[..., Any]:
    at_work, make = AT_WORK.get, asyncio.Task  # every task of the loop is made here

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, /, **more: Any) -> Any:
        work = at_work()
        if work is not None:
            coroutine = GuardedCoroutine(coroutine, work)
        if before is not None:
            return before(loop, coroutine, **more)
        return make(coroutine, loop=loop, **more)

    _guarding.add(factory)
    return factory


def guard_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Let no ``SystemExit`` or ``KeyboardInterrupt`` of a task that code of authors starts out of ``loop``, for good:
    who awaits the task gets a RuntimeError. A factory that ``loop`` has goes on to make the tasks."""
    before = loop.get_task_factory()
    if before is None or before not in _guarding:
        loop.set_task_factory(_guarding_factory(before))
        handler = loop.get_exception_handler()
        loop.set_exception_handler(partial(_tell, handler))


def _tell(
    handler: Callable[..., object] | None, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
) -> None:
    """What callbacks and forgotten tasks raise, told so that it can't end the loop: a handler that raises would.

    What a task that nobody hears has raised is about the run whose block started it.
    """
    task = context.get("task") or context.get("future")
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    subject = coroutine.subject if isinstance(coroutine, GuardedCoroutine) else current_subject()
    error = context.get("exception")
    try:
        if isinstance(error, BaseException):
            context = {**context, "exception": readable(error)}
        with about(subject):
            if handler is None:
                loop.default_exception_handler(context)
            else:
                handler(loop, context)
    except BaseException:
        _logger.error("a callback or task raised what can't be told: %s", context.get("message"))
