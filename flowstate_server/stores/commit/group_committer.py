"""Collects waiting batches into groups, so that many callers share one transaction.

An idle committer starts a group as soon as no more callers turn up; while one runs, the next collects. Tenants take
turns, so that none waits for all that another one commits. The batches of one are committed in the order in which
:meth:`GroupCommitter.commit` was called, except that a lone ``RenewLease`` goes ahead, and of a group those who write
only what they have read before.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Iterable
from contextvars import Context
from time import monotonic
from typing import Any

from flowstate_server.errors import (
    FlowStateError,
    InternalError,
    ServiceError,
    StoreUnavailableError,
    UnclearCommitError,
)
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentKey
from flowstate_server.model.ids import new_id
from flowstate_server.model.scopes import ScopeKey
from flowstate_server.model.state_parts import LARGE_BYTES
from flowstate_server.observation import NOBODY, OK, Observer
from flowstate_server.stores.commit.asked import Asked
from flowstate_server.stores.commit.decide import Answer, decide
from flowstate_server.stores.commit.meanings import all_needs
from flowstate_server.stores.commit.told_pages import removes, told_pages
from flowstate_server.stores.commit.waiting_batches import WaitingBatch, WaitingBatches
from flowstate_server.stores.contract.backend import Conflict, Group, GroupStorage
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.contract.tables import DOCUMENTS, STATES, Changes, Loaded, Needs, Table
from flowstate_server.stores.contract.watch import Topic, WatchHub
from flowstate_server.stores.contract.writes import (
    Batch,
    CommitResult,
    RenewLease,
)

GROUP_BATCHES = 64
"""Most batches of a group: beyond, a group costs as much more as it answers more callers."""
GROUP_SECONDS = 0.010
"""A group in which deciding has taken longer is closed, and the rest comes next: locked rows wait for it."""
ENOUGH_BATCHES = 24
"""So many need not wait for more."""
QUIET_TURNS = 4
"""Turns of the loop without another batch: from a message that has arrived to its batch a call takes three."""
RELOADS = 5
"""Times that a group is loaded anew because others changed what it had loaded, before its callers are refused."""
BACK_OFF_SECONDS = 0.002
"""The most before the first of these, about a group's time; twice as much before each further one."""
KNOWN_RECORDS = 10_000
"""User and org records that are taken to be there, as they were written: so many people use one process at a time."""

_log = logging.getLogger(__name__)


class GroupCommitter:
    """One task that commits through ``storage``, wakes ``hub`` and tells ``observer``.

    Used on the event loop that calls :meth:`start`.
    """

    def __init__(self, storage: GroupStorage, hub: WatchHub, observer: Observer = NOBODY) -> None:
        self._storage = storage
        self._hub = hub
        self._observer = observer
        self._queue = WaitingBatches()
        self._urgent: deque[WaitingBatch] = deque()
        self._running: list[WaitingBatch] = []
        self._known: set[ScopeKey] = set()
        self._sizes: dict[ScopeKey | DocumentKey, int] = {}
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = True

    def start(self) -> None:
        self._closed = False

    async def close(self) -> None:
        """Answer every batch that waits; the ones that come later get ``StoreUnavailableError``."""
        self._closed = True
        self._arrived.set()
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def commit(self, batch: Batch) -> CommitResult:
        """See :meth:`Store.commit`."""
        if self._closed:
            raise StoreUnavailableError
        waiting = WaitingBatch(batch, self._known)
        urgent = len(batch) == 1 and type(batch[0]) is RenewLease
        (self._urgent if urgent else self._queue).append(waiting)
        self._wake()
        answer = await waiting.answer
        if isinstance(answer, CommitResult):
            if waiting.unknown:
                self._learn(waiting.unknown)
            self._measure(answer)
            return answer
        try:
            raise answer
        finally:
            del answer  # or the exception's traceback holds the frame that holds the exception

    def _learn(self, keys: Iterable[ScopeKey]) -> None:
        if len(self._known) >= KNOWN_RECORDS:
            self._known.clear()
        self._known.update(keys)

    def _measure(self, result: CommitResult) -> None:
        for done in result.results:
            record = done.state or done.document
            if record is not None:
                if record.size >= LARGE_BYTES:
                    self._sizes[record.key] = record.size
                elif self._sizes:
                    self._sizes.pop(record.key, None)
        if len(self._sizes) > KNOWN_RECORDS:
            self._sizes.clear()

    def _wake(self) -> None:
        self._arrived.set()
        if self._task is None or self._task.done():
            # A context of its own: what it logs is about no call of those whose batches it commits.
            self._task = asyncio.create_task(
                self._work(), name="flowstate-group-committer", context=Context()
            )

    async def _work(self) -> None:
        try:
            while True:
                while self._urgent or self._queue:
                    await self._gather()
                    await self._commit(self._next_group())
                    self._running = []
                    # A storage that never really waits would keep the loop from those who got their answers.
                    await asyncio.sleep(0)
                if self._closed:
                    return
                self._arrived.clear()
                await self._arrived.wait()
        except Exception:
            _log.exception("the group committer failed")
        finally:
            # However this task ends, nobody waits for it in vain.
            lost = [*self._urgent, *self._queue]
            self._urgent.clear()
            self._queue.clear()
            _refuse(self._running, UnclearCommitError())
            _refuse(lost, None)

    async def _gather(self) -> None:
        """Let callers that are under way come along, for a group costs much the same whatever its size.

        Waits for no time, only for turns of the loop, and no longer than turns bring more callers.
        """
        quiet = 0
        while quiet < QUIET_TURNS and len(self._queue) < ENOUGH_BATCHES and not self._urgent:
            size = len(self._queue)
            await asyncio.sleep(0)
            quiet = 0 if len(self._queue) > size else quiet + 1

    def _next_group(self) -> list[WaitingBatch]:
        """Leases come first and alone: they are not to wait for what others have locked."""
        if self._urgent:
            group = [waiting for waiting in self._urgent if not waiting.answer.done()]
            self._urgent.clear()
        else:
            group = self._queue.take(GROUP_BATCHES, self._size_of)
        self._running = group
        return group

    def _size_of(self, waiting: WaitingBatch) -> int:
        """The bytes of the large records that it needs, as they were last seen."""
        sizes = self._sizes
        if not sizes:
            return 0
        states = sum([sizes.get(key, 0) for key in waiting.needs.of(STATES)])
        return states + sum([sizes.get(key, 0) for key in waiting.needs.of(DOCUMENTS)])

    async def _commit(self, waiting: list[WaitingBatch]) -> None:
        if not waiting:
            return
        group = _Group(waiting)
        try:
            topics = await self._run(group)
        except StoreUnavailableError as error:
            _refuse(waiting, error)
        except Exception as error:
            # A Conflict too: one batch may meet a row that no reload shows, as it is damaged.
            if len(waiting) > 1:
                _log.warning("a group could not be written, its batches are tried one by one", exc_info=error)
                await self._replay(waiting)
            else:
                _refuse_alone(waiting[0], error)
        else:
            if removes(group.changes):
                self._hub.removals += 1
            self._hub.wake(topics, told_pages(group.changes, self._hub.wants_pages))
            group.answer()
            undecided = group.undecided
            if group.lacking is not None and undecided:
                undecided[0].needs.merge(group.lacking)
                for one in undecided:
                    one.need_floors(one.shared)
                await self._commit(undecided)
            else:
                self._queue.put_back(undecided)

    async def _replay(self, waiting: list[WaitingBatch]) -> None:
        for alone in waiting:
            if not alone.answer.done():
                await self._commit([alone])

    async def _run(self, group: _Group) -> Iterable[Topic]:
        for attempt in range(RELOADS):
            try:
                return await self._try(group)
            except Conflict:
                await asyncio.sleep(random.uniform(0, BACK_OFF_SECONDS * 2**attempt))
        return await self._try(group)

    async def _try(self, group: _Group) -> Iterable[Topic]:
        began = monotonic()
        outcome = "INTERNAL"
        try:
            topics = await self._storage.run(group)
            outcome = OK
        except Conflict:
            outcome = "CONFLICT"
            raise
        except ServiceError as error:
            outcome = error.reason.value
            raise
        finally:
            self._observer.commit(
                seconds=monotonic() - began,
                batches=len(group),
                writes=group.writes,
                refused=group.refused,
                outcome=outcome,
            )
        return topics


class _Group(Group):
    def __init__(self, waiting: list[WaitingBatch]) -> None:
        self._waiting = waiting
        self._answers: list[Answer] = []
        self._asked = Asked(lambda table, key: False)
        self.changes = Changes(Micros(0))
        """Those that were decided last."""

    @property
    def needs(self) -> Needs:
        return all_needs(waiting.needs for waiting in self._waiting)

    def needs_of(self, position: int) -> Needs:
        return self._waiting[position].needs

    def __len__(self) -> int:
        return len(self._waiting)

    def decide(self, loaded: Loaded, ready: int | None = None) -> Changes:
        prepared = self._waiting[:ready]

        def is_asked(table: Table[Any, Any], key: Any) -> bool:
            return any(key in waiting.needs.of(table) for waiting in prepared)

        self._asked = Asked(is_asked)
        batches = [waiting.batch for waiting in prepared]
        self._answers, self.changes = decide(batches, loaded, seconds=GROUP_SECONDS, asked=self._asked)
        return self.changes

    @property
    def lacking(self) -> Needs | None:
        """What the first of those who are undecided needs besides, as showed when it was decided."""
        return self._asked.lacking

    @property
    def writes(self) -> int:
        return sum(len(waiting.batch) for waiting in self._waiting)

    @property
    def refused(self) -> int:
        return sum(isinstance(answer, Exception) for answer in self._answers)

    @property
    def undecided(self) -> list[WaitingBatch]:
        return self._waiting[len(self._answers) :]

    def answer(self) -> None:
        if not self._answers and self._asked.lacking is None:
            raise LookupError("the storage has not called Group.decide")
        for waiting, answer in zip(self._waiting, self._answers, strict=False):
            waiting.set(answer)


def _refuse(waiting: list[WaitingBatch], cause: Exception | None) -> None:
    for one in waiting:
        unclear = isinstance(cause, UnclearCommitError)
        error = UnclearCommitError() if unclear else StoreUnavailableError()
        error.__cause__ = cause
        one.set(error)


def _refuse_alone(waiting: WaitingBatch, error: Exception) -> None:
    if isinstance(error, FlowStateError):
        waiting.set(error)
        return
    if isinstance(error, DamagedRecord):  # repeating won't help
        error_id = new_id("err_")
        _log.error(
            "a batch needs what is damaged (%s)", error_id, exc_info=error, extra={"error_id": error_id}
        )
        waiting.set(InternalError(error_id=error_id))
        return
    _log.error("a batch could not be written", exc_info=error)
    _refuse([waiting], error)
