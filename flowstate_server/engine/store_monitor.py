"""Whether the store answers: what readiness follows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.stores.store import Store

_logger = logging.getLogger(__name__)

# Seconds. A balancer should send nobody to a server that has been without its store for a few seconds, and a store that
# restarts in less is no news. Chosen.
INTERVAL = 1.0
PATIENCE = 2.0
# Reads in a row that failed. More than one, for the loop itself may have been held up during one.
FAILURES = 3

Changed = Callable[[bool], Awaitable[None]]


class StoreMonitor:
    """Reads from the store every second. A change is one line in the log, whatever else meets the same trouble."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._task: asyncio.Task[None] | None = None
        self._changed: Changed | None = None
        self.available = True

    def tell(self, changed: Changed) -> None:
        """Call ``changed`` with each new :attr:`available`, while the monitor is open."""
        self._changed = changed

    def open(self) -> None:
        self._task = asyncio.create_task(self._forever(), name="store monitor")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _forever(self) -> None:
        loop = asyncio.get_running_loop()
        failures, since = 0, loop.time()
        while True:
            began = loop.time()
            problem = await self._problem()
            if problem is None:
                if not self.available:
                    _logger.warning("the store answers again, after %.0f s", loop.time() - since)
                    await self._change(True)
                failures, since = 0, began
            else:
                failures += 1
                if failures == FAILURES:
                    _logger.warning(
                        "the store does not answer, all that needs it waits or fails: %s", problem
                    )
                    await self._change(False)
            await asyncio.sleep(began + INTERVAL - loop.time())

    async def _problem(self) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._store.read_processes()
        except StoreUnavailableError as error:
            return str(error)
        except TimeoutError:
            return f"nothing came within {PATIENCE:g} s"
        except Exception as error:  # it does answer; what is wrong with it is told where it matters
            _logger.debug("the store answers with an error", exc_info=error)
        return None

    async def _change(self, available: bool) -> None:
        self.available = available
        if self._changed is not None:
            await self._changed(available)
