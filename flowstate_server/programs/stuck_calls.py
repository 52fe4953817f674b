"""Calls of code of authors that were given up and go on in their threads: nothing ends those.

Of each function a few may be so. Then it is not called any more until one of them ends: a thread for each attempt would
use up the machine.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

from flowstate_server.programs.threads import DaemonThreads

T = TypeVar("T")
MOST_STUCK = 2
"""One may have met a hiccup of the machine; a second one says that it is the function. Chosen."""
STUCK = "earlier calls of it have not ended yet"


class StuckError(Exception):
    """The function was not called: others of its calls were given up and have not ended."""

    def __init__(self) -> None:
        super().__init__(STUCK)


class StuckCalls:
    """The calls that were given up and go on, by keys that say whose code it is."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_key: dict[Hashable, set[WatchedCall[Any]]] = {}

    def full(self, key: Hashable, most: int = MOST_STUCK) -> bool:
        """Whether that code is not to be called now."""
        return len(self.by_key.get(key, ())) >= most

    def watched(self, function: Callable[[], T]) -> WatchedCall[T]:
        return WatchedCall(self, function)

    async def call(
        self, threads: DaemonThreads, key: Hashable, seconds: float, function: Callable[[], T]
    ) -> T:
        """Call ``function`` in a thread, and wait for it until that is cancelled; beyond ``seconds`` it then counts as
        given up.

        Raises:
            StuckError: see there.
        """
        if self.full(key):
            raise StuckError
        watched = self.watched(function)
        loop = asyncio.get_running_loop()
        limit = loop.time() + seconds
        try:
            return await threads.begin(watched)
        except asyncio.CancelledError:
            if loop.time() > limit - seconds / 10:  # by a time limit, which began a moment earlier
                watched.give_up(key)
            else:
                loop.call_at(limit, partial(watched.give_up, key))
            raise


class WatchedCall(Generic[T]):
    """A call that may be given up, from the event loop, while a thread is at it."""

    def __init__(self, stuck: StuckCalls, function: Callable[[], T]) -> None:
        self._stuck = stuck
        self._function = function
        self._keys: tuple[Hashable, ...] = ()
        self.going_on = False

    def __call__(self) -> T:
        with self._stuck.lock:
            self.going_on = True
            self._count()
        try:
            return self._function()
        finally:
            with self._stuck.lock:
                self.going_on = False
                self._count_no_more()

    @property
    def given_up(self) -> bool:
        return bool(self._keys)

    def give_up(self, *keys: Hashable) -> None:
        with self._stuck.lock:
            self._keys = keys
            if self.going_on:
                self._count()

    def _count(self) -> None:
        for key in self._keys:
            self._stuck.by_key.setdefault(key, set()).add(self)

    def _count_no_more(self) -> None:
        for key in self._keys:
            calls = self._stuck.by_key.get(key, set())
            calls.discard(self)
            if not calls:
                self._stuck.by_key.pop(key, None)
