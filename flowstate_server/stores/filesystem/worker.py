"""The one thread that touches the files, so that whoever writes is alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.stores.log_throttle import LogThrottle

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)
_log.addFilter(LogThrottle())


class Worker:
    """Cancelling a caller does not stop a function that has begun: it ends, and its answer is dropped."""

    def __init__(self, name: str) -> None:
        self._executor: ThreadPoolExecutor | None = ThreadPoolExecutor(1, name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function(...)``, on the thread.

        Raises:
            StoreUnavailableError: for an ``OSError``, and once the worker is closed.
        """
        if self._executor is None:
            raise StoreUnavailableError
        loop = asyncio.get_running_loop()
        with _unavailable():
            return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def wait_for(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for a caller that has a thread to wait with."""
        executor = self._executor
        if executor is None:
            raise StoreUnavailableError
        with _unavailable():
            try:
                begun = executor.submit(function, *args, **kwargs)
            except RuntimeError as closed:
                raise StoreUnavailableError from closed
            return begun.result()

    async def close(self) -> None:
        """After what was begun."""
        if self._executor is not None:
            executor, self._executor = self._executor, None
            await asyncio.to_thread(executor.shutdown)


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _log.error("the filesystem store failed: %s", error)
        raise StoreUnavailableError from error
