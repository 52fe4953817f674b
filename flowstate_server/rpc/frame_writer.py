"""Writing the frames of a stream to a peer that may not read them."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from flowstate_server.rpc.call_context import ServicerContext
from flowstate_server.watchdog import Watchdog


class FrameWriter:
    """Writes frames one after another, each within ``seconds``. Used as a context manager by the task that streams."""

    def __init__(self, context: ServicerContext, seconds: float) -> None:
        self._context = context
        self._seconds = seconds
        self._watchdog = Watchdog(self._cut_off)

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._late = False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watchdog.close()

    async def write(self, data: bytes) -> None:
        """
        Raises:
            TimeoutError: the peer has not taken it in time.
        """
        self._watchdog.start(self._seconds)
        try:
            await self._context.write(data)
        except asyncio.CancelledError:
            if self._late and self._task.uncancel() <= self._cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._watchdog.stop()

    def _cut_off(self) -> None:
        self._late = True
        self._task.cancel()
