"""SIGHUP: a terminal that closes takes its server with it; elsewhere it asks to read tokens and certificates anew."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

_logger = logging.getLogger(__name__)

STDIN, STDERR = 0, 2


class Hangups:
    """Listens to SIGHUP from now on; :meth:`reload_by` says what to do once the server is there.

    Before that there is nothing to reload: what is about to start reads the files as they are.
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop
        self._reload: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._heard)

    def reload_by(self, reload: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """``reload`` raises ``ValueError``, whose text is logged, where the old has to stay."""
        self._reload = reload

    def _heard(self) -> None:
        if any(os.isatty(descriptor) for descriptor in (STDIN, STDERR)):
            self._stop()
        elif self._reload is not None:
            task = asyncio.get_running_loop().create_task(self._reloaded(self._reload()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reloaded(self, reloading: Coroutine[Any, Any, None]) -> None:
        try:
            await reloading
        except ValueError as error:
            _logger.error("nothing was reloaded, the old stays: %s", error)
        except Exception:
            _logger.exception("nothing was reloaded, the old stays")
        else:
            _logger.info("tokens and certificates were reloaded")
