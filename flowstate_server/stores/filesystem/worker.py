"""The one thread that touches the files: reads and writes take turns there, so that each read is consistent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from flowstate_server.errors import InternalError, StoreUnavailableError
from flowstate_server.model.ids import new_id
from flowstate_server.stores.seldom import Seldom

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)
_log.addFilter(Seldom())


class Worker:
    """Cancelling a caller does not stop a function that has begun: it ends, and its answer is dropped."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = ThreadPoolExecutor(1, "flowstate-filesystem-store")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function(...)``, on the thread.

        Raises:
            StoreUnavailableError: for an ``OSError``, and once the worker is closed.
            InternalError: for a ``ValueError``, a damaged file.
        """
        if self._executor is None:
            raise StoreUnavailableError
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))
        except OSError as error:
            _log.error("the filesystem store failed: %s", error)
            raise StoreUnavailableError from error
        except (ValueError, LookupError, TypeError) as error:
            error_id = new_id("err_")
            _log.error(
                "the filesystem store can't use what it was given or found (%s)", error_id, exc_info=error
            )
            raise InternalError(error_id=error_id) from error

    async def close(self) -> None:
        """After what was begun."""
        if self._executor is not None:
            executor, self._executor = self._executor, None
            await asyncio.to_thread(executor.shutdown)
