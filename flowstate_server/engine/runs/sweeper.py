"""Housekeeping that any server does for all: ends the requests of dead processes, deletes what has expired."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

from flowstate_server.engine.runs.forgetting import forget_deleted
from flowstate_server.engine.runs.orphaned_resources import forget_resources
from flowstate_server.engine.runs.silences import Silences
from flowstate_server.engine.runs.supervisor import Supervisor
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import LeaseLostError, RequestTerminalError, StoreUnavailableError
from flowstate_server.log_context import about
from flowstate_server.model.clock import Micros, micros
from flowstate_server.model.payloads import RequestInterrupted
from flowstate_server.model.records import ProcessRecord, RequestRecord, RequestStatus
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.blobs import Blobs
from flowstate_server.stores.contract.writes import FenceProcess, FinishRequest
from flowstate_server.stores.store import Store

_logger = logging.getLogger(__name__)

# Requests ended at once: the store groups them into few transactions, and calls go on in between. Chosen.
PAGE = 200
# Rows of one step of a sweep, which is one transaction: short enough not to hold up commits. With so many rounds a
# sweep takes up to 50,000 rows and leaves the rest to the next one.
ROWS = 500
ROUNDS = 100
# What a deleted session leaves may be a hundred thousand rows, all indexed, and nobody waits for them to go: in smaller
# steps, with the time of a step to others after each. Commits beside it hardly notice; in steps of 500 without a pause
# they took twice as long.
FEW_ROWS = 200
MANY_ROUNDS = 500


class Sweeper:
    """Every third of a lease: fence expired processes, end their requests as interrupted, delete expired rows.

    ``expire`` judges what is old enough to go, by what flows say of that. Each step can be done by several servers at
    once, or half and continued by another. A process never fences itself: however long it or the store was away, its
    runs go on if no other server was there to end them.
    """

    def __init__(
        self,
        store: Store,
        settings: EngineSettings,
        supervisor: Supervisor,
        expire: Callable[[], Awaitable[None]],
        blobs: Blobs,
    ) -> None:
        self._store = store
        self._expire = expire
        self._blobs = blobs
        self._settings = settings
        self._supervisor = supervisor
        self._silences = Silences(settings.lease)
        self._told: set[RequestKey] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        # Apart: who looks for silent processes has to look often, and a round of the other may take long.
        self._tasks = [
            asyncio.create_task(self._forever(self.end_orphans), name="orphans"),
            asyncio.create_task(self._forever(self.delete_expired), name="sweeper"),
            asyncio.create_task(self._forever(self._expire), name="expiry"),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def sweep(self) -> None:
        """One round of everything."""
        await self.end_orphans()
        await self._expire()
        await self.delete_expired()

    async def delete_expired(self) -> None:
        """Delete what deleted sessions, users and orgs have left, and transient events, documents, processes,
        tombstones and content whose time is over."""
        retention = micros(self._settings.transient_retention)
        await _until_done(lambda: self._store.sweep_transient_events(retention=retention, limit=ROWS))
        await _until_done(lambda: self._store.sweep_documents(limit=ROWS))
        await _until_done(lambda: self._store.sweep_processes(limit=ROWS))
        remembered = micros(self._settings.tombstone_retention)
        await _gently_until_done(lambda: self._store.sweep_sessions(retention=remembered, limit=FEW_ROWS))
        await _until_done(lambda: forget_deleted(self._store, remembered, limit=PAGE))
        grace = micros(self._settings.content_retention)
        await _gently_until_done(lambda: forget_resources(self._store, grace=grace, limit=FEW_ROWS))
        if self._blobs.kept:
            await _gently_until_done(lambda: self._blobs.sweep(limit=FEW_ROWS))

    async def end_orphans(self) -> None:
        """Fence processes whose lease expired while this one looked on, and end the requests of fenced ones."""
        self._silences.look()
        now = await self._store.time()
        processes = await self._store.read_processes()
        self._silences.note(processes)
        for process in processes:
            if process.fenced or await self._fence(process, now):
                await self._end_requests(process.process)

    async def _fence(self, process: ProcessRecord, now: Micros) -> bool:
        if process.process == self._supervisor.process_id:
            return False
        known_dead = await self._known_dead(process.process)
        if not known_dead and (process.expire_time >= now or not self._silences.lasts(process)):
            return False
        try:
            await self._store.commit((FenceProcess(process.process, process.renew_time, known_dead),))
        except LeaseLostError:
            return False
        _logger.warning(
            "process %s %s and is fenced", process.process, "is gone" if known_dead else "fell silent"
        )
        return True

    async def _known_dead(self, process_id: str) -> bool:
        presence = self._store.presence
        return presence is not None and await asyncio.to_thread(presence.known_dead, process_id)

    async def _end_requests(self, process_id: str) -> None:
        passed_over: set[RequestKey] = set()
        while True:
            found = await self._store.read_running(process_id, limit=PAGE + len(passed_over))
            orphans = [record for record in found if record.key not in passed_over]
            if not orphans:
                return
            ended = await asyncio.gather(*(self._end(record, process_id) for record in orphans))
            passed_over |= {record.key for record, done in zip(orphans, ended, strict=True) if not done}
            self._silences.look()

    async def _end(self, record: RequestRecord, process_id: str) -> bool:
        """Whether it has ended. One that can't, as what it needs is damaged or gone, keeps no other from its end."""
        told = RequestInterrupted("the server process that ran it was lost")
        finish = FinishRequest(
            request=record.key,
            status=RequestStatus.INTERRUPTED,
            event=told.type,
            payload=told.members(),
            scopes=record.scopes,
            reason=told.reason,
            swept=process_id,
            gate=record.head.gate,
        )
        with about(record):
            return await self._ended(finish, record)

    async def _ended(self, finish: FinishRequest, record: RequestRecord) -> bool:
        try:
            await self._store.commit((finish,))
        except (RequestTerminalError, LeaseLostError):
            _logger.info("request %s was ended by another server", record.key.request_id)
        except Exception as error:  # if the store is away, reading the next page tells
            if record.key not in self._told:
                self._told.add(record.key)
                _logger.error(
                    "request %s, whose process is gone, can't be ended",
                    record.key.request_id,
                    exc_info=None if isinstance(error, StoreUnavailableError) else error,
                )
            return False
        else:
            _logger.info("request %s is interrupted: %s", record.key.request_id, finish.reason)
        self._told.discard(record.key)
        return True

    async def _forever(self, sweep: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await sweep()
            except StoreUnavailableError:
                _logger.debug("the sweep waits for the store")
            except Exception:
                _logger.exception("the sweep broke; it is repeated")
            interval = self._settings.renew_interval
            await asyncio.sleep(random.uniform(interval / 2, interval))


async def _gently_until_done(step: Callable[[], Awaitable[int]]) -> None:
    for _ in range(MANY_ROUNDS):
        began = time.monotonic()
        if not await step():
            return
        await asyncio.sleep(time.monotonic() - began)


async def _until_done(step: Callable[[], Awaitable[int]]) -> None:
    for _ in range(ROUNDS):
        if not await step():
            return
