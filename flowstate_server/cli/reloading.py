"""SIGHUP: a terminal that closes takes its server with it; elsewhere it asks to read tokens and certificates anew."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from flowstate_server.cli.own_terminal import on_own_terminal

_logger = logging.getLogger(__name__)


class Hangups:
    """Listens to SIGHUP from now on; :meth:`reload_by` says what to do once the server is there.

    A signal that comes before that is not lost: what starts may have read the files already.
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        self._stop = stop
        # Asked now: when the signal comes, the terminal is gone.
        self._on_terminal = on_own_terminal()
        self._hung_up = False
        self._early = False
        self._reload: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._heard)

    def reload_by(self, reload: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """``reload`` raises ``ValueError``, whose text is logged, where the old has to stay."""
        self._reload = reload
        if self._early:
            self._start_reloading(reload)

    def _heard(self) -> None:
        if self._on_terminal:
            # Once: the kernel tells it, and the shell again when it leaves, but two stops are one without patience.
            if not self._hung_up:
                self._hung_up = True
                self._stop()
        elif self._reload is None:
            self._early = True
        else:
            self._start_reloading(self._reload)

    def _start_reloading(self, reload: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.get_running_loop().create_task(self._reloaded(reload()))
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
