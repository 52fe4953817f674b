"""Calls that a block begins, so that none is forgotten: without ``await`` a coroutine does nothing, silently."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine, Generator, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from flowstate_server.flows.call_forms import refused_call
from flowstate_server.programs.author_code import WrappedCoroutine

_running_loop = asyncio._get_running_loop
OwnerT = TypeVar("OwnerT", bound="TracksCalls")


class TracksCalls:
    """What a block calls operations of. ``written`` is how it writes it: ``ctx.session``."""

    begun: Begun
    written: str


class BegunCall(WrappedCoroutine):
    """An operation's coroutine from its call on, until it is awaited or its task begins."""

    __slots__ = ("_at", "_begun", "_code", "_name", "_owner")

    def __init__(
        self, owner: TracksCalls, name: str, coroutine: Coroutine[Any, Any, Any], depth: int = 1
    ) -> None:
        """``depth`` is that of the caller's frame. Every event of every run comes by here."""
        self._coroutine = coroutine
        self._owner = owner
        self._name = name
        caller = sys._getframe(depth)
        self._code = caller.f_code
        self._at = caller.f_lasti  # the line takes longer to find
        self._begun = begun = owner.begun
        begun.add(self)

    @property
    def written(self) -> str:
        return f"{self._owner.written}.{self._name}(...)"

    def __str__(self) -> str:
        lines = [line for start, end, line in self._code.co_lines() if start <= self._at < end and line]
        return f"{self.written} in line {lines[0] if lines else '?'} of {Path(self._code.co_filename).name}"

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        raise self._not_awaited()

    def __iter__(self) -> Iterator[Any]:
        raise self._not_awaited()

    def __getitem__(self, key: object) -> Any:
        raise self._not_awaited()

    def _not_awaited(self) -> TypeError:
        return TypeError(f"{self.written} has to be awaited for what it gives: write `await` in front of it")

    def __await__(self) -> Generator[Any, Any, Any]:
        begun = self._begun
        begun.discard(self)
        if _running_loop() is not begun.loop:
            self._refuse()
        return self._coroutine.__await__()

    def send(self, value: Any, /) -> Any:
        begun = self._begun
        begun.discard(self)
        if _running_loop() is not begun.loop:
            self._refuse()
        return self._coroutine.send(value)

    def _refuse(self) -> NoReturn:
        self._coroutine.close()
        raise RuntimeError(
            f"{self.written} runs on the server's event loop and on no other: from a thread, "
            "hand it to `ctx.run(...)`"
        )

    def throw(self, *error: Any) -> Any:
        self._begun.discard(self)
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._begun.discard(self)
        self._coroutine.close()


def tracks_calls(cls: type[OwnerT]) -> type[OwnerT]:
    """Tracks all public coroutine methods of a class, inherited ones too."""
    for name, method in inspect.getmembers(cls, inspect.iscoroutinefunction):
        if not name.startswith("_"):
            setattr(cls, name, _call(name, method))
    return cls


def _call(name: str, method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., BegunCall]:
    @wraps(method)
    def begin(self: TracksCalls, *args: Any, **kwargs: Any) -> BegunCall:
        try:
            coroutine = method(self, *args, **kwargs)
        except TypeError as error:
            __tracebackhide__ = True
            refused = refused_call(error, self.written, method)
        else:
            return BegunCall(self, name, coroutine, 2)
        raise refused

    return begin


class Begun(set[BegunCall]):
    """The calls of one block that nobody has awaited yet; ``loop`` is the one that they may run on."""

    __slots__ = ("loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop


async def check_awaited(begun: Begun, block: str) -> None:
    """
    Raises:
        RuntimeError: one of them was never awaited; it names ``block`` and them, with their lines.
    """
    __tracebackhide__ = True
    if not begun:
        return
    # Two turns: a task that was made of one has not begun yet, nor has one by way of a thread.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if forgotten := sorted(map(str, begun)):
        for operation in list(begun):
            operation.close()
        raise RuntimeError(
            f"{block} never awaited {', '.join(forgotten)}, so that it was not done: "
            "write `await` in front of it, or `ctx.run(...)` around it in a handler that is not async"
        )
