"""The runs of this process, and the lease under which they write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from flowstate_server.engine.logs.following import Following
from flowstate_server.engine.runs.lease_keeper import RETRY_PAUSE, LeaseKeeper
from flowstate_server.engine.runs.loop_watch import LoopWatch
from flowstate_server.engine.runs.run import Run
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import ServiceError, StoreUnavailableError
from flowstate_server.model.clock import Micros, Seconds, micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.ids import new_id
from flowstate_server.model.records import RequestHead, RequestStatus
from flowstate_server.model.scopes import RequestKey
from flowstate_server.programs.author_code import guard_tasks
from flowstate_server.stores.contract.watch import Topic, TopicKind, Watch
from flowstate_server.stores.contract.writes import FenceProcess, RenewLease
from flowstate_server.stores.store import Store

_logger = logging.getLogger(__name__)

T = TypeVar("T")

# What is logged as blocking the event loop takes so long. A run's neighbours wait meanwhile; shorter, and every busy
# moment of the machine is told. The lower one is for leases of less than two seconds.
BLOCKED_SECONDS = (Seconds(0.25), Seconds(0.5))
# To hand in the lease is a favour to the others, who would wait for it to expire; not worth waiting for a store that
# hangs.
FAREWELL_SECONDS = 2.0
# Requests that are stored and whose runs are not started yet: more than are ever under way at once.
DISPATCHES = 1000
SHUT_DOWN = (RequestStatus.INTERRUPTED, "the server shut down")


class Supervisor:
    """Owns every run and task of this process, renews its lease, and cancels what it is asked to cancel.

    A process that finds itself fenced abandons its runs (their requests were ended elsewhere), takes a new process id
    and serves on.
    """

    def __init__(self, store: Store, settings: EngineSettings) -> None:
        self.process_id = new_id("proc_")
        self._store = store
        self._settings = settings
        self._runs: dict[RequestKey, Run] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._renewing = asyncio.Lock()
        self._cancels: Watch | None = None
        self._stopping = False
        self._watch = LoopWatch(sorted((*BLOCKED_SECONDS, settings.renew_interval))[1])

    async def open(self) -> None:
        guard_tasks(asyncio.get_running_loop())
        await self._take_lease(self.process_id)
        self._watch.open()
        keeper = LeaseKeeper(
            self._store, self._settings, self._watch, lambda: self.process_id, self.begin_anew
        )
        self._keepers = [
            asyncio.create_task(keeper.keep(), name="lease"),
            asyncio.create_task(self._follow_cancels(), name="cancels"),
        ]

    async def close(self, drain: Seconds) -> None:
        """Give runs ``drain`` seconds to end, then end them as interrupted, and stop."""
        await self.settled(drain)
        self._stopping = True
        for run in self._runs.values():
            run.stop(*SHUT_DOWN)
        await self.settled(Seconds(2 * self._settings.cancel_grace))
        tasks = [*self._keepers, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watch.close()
        await self._give_up_lease()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run ``work`` in a task of this process rather than of the caller."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def execute(self, run: Run) -> None:
        """Execute ``run``, in a task that was spawned here; from the call on it can be found."""
        if self._stopping:  # its dispatch was under way
            run.stop(*SHUT_DOWN)
        key = run.head.key
        self._runs[key] = run
        if run.head.gate:
            self.spawn(self._stop_if_cancelled(run))
        try:
            await run.main()
        finally:
            del self._runs[key]

    async def _stop_if_cancelled(self, run: Run) -> None:
        """Where requests interrupt each other, one is asked to cancel in the very group that begins it, and the wake-up
        finds no run yet."""
        try:
            record = await self._store.get_request(run.head.key)
        except ServiceError:
            return  # looking at all that are to be cancelled, some time later, tells as well
        if record is not None and record.head.cancel_requested:
            run.stop(RequestStatus.ABORTED, record.head.cancel_reason)

    def find(self, request: RequestKey) -> Run | None:
        """The run of a request, if this process runs it now."""
        return self._runs.get(request)

    async def begin_anew(self, fenced: str) -> None:
        """Serve on under a new process id after ``fenced`` was found to be; without effect if that was done before."""
        async with self._renewing:
            if self.process_id != fenced:
                return
            _logger.warning("process %s was fenced: its runs are abandoned", fenced)
            self._abandon_runs_of(fenced)
            process_id = new_id("proc_")
            while True:
                try:
                    await self._take_lease(process_id)
                    break
                except StoreUnavailableError:
                    await asyncio.sleep(RETRY_PAUSE)
            self._abandon_runs_of(fenced)  # and those that were just being started
            self.process_id = process_id
            if self._cancels is not None:
                self._cancels.wake()

    def _abandon_runs_of(self, process_id: str) -> None:
        for run in self._runs.values():
            if run.head.process == process_id:
                run.abandon()

    async def _take_lease(self, process_id: str) -> None:
        if self._store.presence is not None:
            await asyncio.to_thread(self._store.presence.hold, process_id)
        await self._store.commit((RenewLease(process_id, micros(self._settings.lease), start=True),))

    async def _give_up_lease(self) -> None:
        """Tell other servers that this one is gone, so that none has to wait for its lease to expire."""
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                renewed = await self._store.commit((RenewLease(self.process_id, Micros(0)),))
                await self._store.commit((FenceProcess(self.process_id, renewed.time),))
        except (TimeoutError, ServiceError) as error:
            _logger.info("the lease of process %s is left to expire: %s", self.process_id, error)

    async def _follow_cancels(self) -> None:
        """Cancel runs that any server was asked to cancel.

        It looks also without a wake-up: one may come before the run that it is about has been started here.
        """
        while True:
            process_id = self.process_id
            with self._store.watch((Topic(TopicKind.PROCESS, NO_TENANT, process_id),)) as self._cancels:
                following = Following(self._cancels, partial(self._read_cancelled, process_id))
                while process_id == self.process_id:
                    for head in await following.next(at_latest=self._settings.renew_interval):
                        run = self.find(head.key)
                        if run is not None:
                            run.stop(RequestStatus.ABORTED, head.cancel_reason)
                    if following.woken:
                        await self._abandon_ended(process_id)

    async def _abandon_ended(self, process_id: str) -> None:
        """Abandon runs whose requests were ended elsewhere, as those of a deleted session are."""
        runs = [run for run in self._runs.values() if run.head.process == process_id and not run.ending]
        if not runs:
            return
        limit = len(self._runs) + DISPATCHES
        try:
            found = await self._store.read_running(process_id, limit=limit)
        except StoreUnavailableError:
            return  # they find out when they write
        except Exception:
            _logger.exception("reading which requests have ended broke")
            return
        if len(found) < limit:
            running = {record.key for record in found}
            for run in runs:
                if run.head.key not in running:
                    run.abandon()

    async def _read_cancelled(self, process_id: str) -> Sequence[RequestHead]:
        try:
            return await self._store.read_cancelled(process_id)
        except StoreUnavailableError:
            _logger.debug("could not read which requests to cancel")
        except Exception:
            _logger.exception("reading which requests to cancel broke; it is repeated")
        return ()

    async def settled(self, seconds: Seconds) -> None:
        """Wait until no run or dispatch is under way, at most ``seconds``."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._tasks and (left := end - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
