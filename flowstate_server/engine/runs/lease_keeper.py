"""Keeps the lease of this process: renews it for as long as the process can be believed to work."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable

from flowstate_server.engine.runs.loop_watch import LoopWatch
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import LeaseLostError, StoreUnavailableError
from flowstate_server.model.clock import Seconds, micros
from flowstate_server.stores.contract.backend import LeaseRenewal
from flowstate_server.stores.contract.writes import RenewLease
from flowstate_server.stores.store import Store

_logger = logging.getLogger(__name__)

# Seconds: a renewal that failed has two thirds of the lease, 10 s by default, to succeed; that is some fifty
# attempts.
RETRY_PAUSE = Seconds(0.2)
# A renewal that hangs is not waited for longer when the server stops.
LAST_RENEWAL_SECONDS = 2.0


class LeaseKeeper:
    """Where the store can, the lease is renewed from a thread, so that a blocked event loop costs no runs; after
    ``hung_after`` without a turn of it no more, for then a run that waits is better ended. Else by commits.

    ``begin_anew`` is called with the id of a process that was fenced.
    """

    def __init__(
        self,
        store: Store,
        settings: EngineSettings,
        watch: LoopWatch,
        process_id: Callable[[], str],
        begin_anew: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._settings = settings
        self._watch = watch
        self._process_id = process_id
        self._begin_anew = begin_anew
        self._stopped = threading.Event()
        self._away = False  # the store, as far as was told

    async def keep(self) -> None:
        """Until it is cancelled."""
        renewal = self._store.renewal
        if renewal is None:
            await self._keep_by_commits()
        else:
            await self._keep_by_thread(renewal)

    async def _keep_by_commits(self) -> None:
        pause = self._settings.renew_interval
        while True:
            await asyncio.sleep(pause)
            process = self._process_id()
            try:
                await self._store.commit((RenewLease(process, micros(self._settings.lease)),))
                pause = self._renewed()
            except LeaseLostError:
                await self._begin_anew(process)
                pause = self._settings.renew_interval
            except Exception as error:
                pause = self._failed(process, error)

    async def _keep_by_thread(self, renewal: LeaseRenewal) -> None:
        loop = asyncio.get_running_loop()
        lost: asyncio.Queue[str] = asyncio.Queue()
        over = asyncio.Event()

        def tell_lost(process: str) -> None:
            loop.call_soon_threadsafe(lost.put_nowait, process)

        def work() -> None:
            try:
                self._renew_until_stopped(renewal, tell_lost)
            finally:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(over.set)

        threading.Thread(target=work, name="flowstate-lease", daemon=True).start()
        try:
            while True:
                await self._begin_anew(await lost.get())
        finally:
            self._stopped.set()
            try:
                await asyncio.wait_for(over.wait(), LAST_RENEWAL_SECONDS)
            except TimeoutError:
                _logger.warning("a renewal of the lease hangs and is left alone")

    def _renew_until_stopped(self, renewal: LeaseRenewal, tell_lost: Callable[[str], None]) -> None:
        try:
            lost = ""
            pause = self._settings.renew_interval
            while not self._stopped.wait(pause):
                process = self._process_id()
                # A fenced one is followed by a new one as soon as the loop turns.
                if process == lost or self._hung(process):
                    pause = self._settings.renew_interval
                    continue
                try:
                    renewal.renew(process, micros(self._settings.lease))
                    pause = self._renewed()
                except LeaseLostError:
                    lost = process
                    tell_lost(process)
                except Exception as error:
                    pause = self._failed(process, error)
        finally:
            renewal.close()

    def _hung(self, process: str) -> bool:
        silence = self._watch.silence
        if silence <= self._settings.hung_after:
            return False
        _logger.error(
            "the event loop has been blocked for %.0f s: the lease of process %s is renewed no more",
            silence,
            process,
        )
        return True

    def _renewed(self) -> Seconds:
        self._away = False
        return self._settings.renew_interval

    def _failed(self, process: str, error: Exception) -> Seconds:
        if not isinstance(error, StoreUnavailableError):
            _logger.error(
                "the renewal of the lease of process %s broke; it is repeated", process, exc_info=error
            )
        elif not self._away:
            self._away = True
            _logger.debug("the lease of process %s could not be renewed; it is tried again", process)
        return min(self._settings.renew_interval, RETRY_PAUSE)
