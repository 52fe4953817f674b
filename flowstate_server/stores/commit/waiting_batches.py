"""Batches that wait to be committed, in one queue for each tenant: groups take from all of them in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence, Set
from time import monotonic

from flowstate_server.model.scopes import RequestKey, ScopeKey
from flowstate_server.model.tombstones import floor_key
from flowstate_server.stores.commit.decide import Answer
from flowstate_server.stores.commit.meanings import needs_of
from flowstate_server.stores.commit.state_writes import SHARED
from flowstate_server.stores.contract.resource_writes import ChangeResource
from flowstate_server.stores.contract.tables import DOCUMENTS, REQUEST_HEADS, SESSIONS, STATES, Needs
from flowstate_server.stores.contract.writes import AtVersion, Batch, ChangeState, RequireRun

MOST_BYTES = 1024 * 1024
"""Of the large records that the batches of a group need, each time one does, while several tenants commit: a change of
so many takes about as long as all small ones of a group together. One batch may need more."""
SEVERAL_SECONDS = 1.0
"""So long after the last commit of another tenant there may come one more. Chosen."""


class WaitingBatch:
    """A batch whose caller waits. The answer is a value even if it is an exception: not every one may be set on a
    future."""

    __slots__ = ("answer", "batch", "needs", "run", "swaps", "unknown", "whose")

    def __init__(self, batch: Batch, known: Set[ScopeKey]) -> None:
        self.batch = batch
        self.swaps = False
        self.unknown: list[ScopeKey] = []
        self.run: RequestKey | None = None
        for write in batch:
            if type(write) is ChangeState:
                self.swaps |= type(write.precondition) is AtVersion
                if write.key not in known and write.key.kind in SHARED:
                    self.unknown.append(write.key)
            elif type(write) is RequireRun:
                self.run = write.request
            elif type(write) is ChangeResource:
                self.swaps |= type(write.precondition) is AtVersion
        self.needs = needs_of(batch)
        self.whose = _whose(self.needs)
        self.need_floors(self.unknown)
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def need_floors(self, keys: Iterable[ScopeKey]) -> None:
        """Whoever may make a record anew has to know its owner's floor. The others are spared the look."""
        for key in keys:
            self.needs.add(DOCUMENTS, floor_key(key))

    @property
    def shared(self) -> list[ScopeKey]:
        """The user and org records that it writes."""
        return [write.key for write in self.batch if type(write) is ChangeState and write.key.kind in SHARED]

    def set(self, answer: Answer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


def _whose(needs: Needs) -> Hashable:
    """The tenant; for what concerns no session, the user or org, whom all tenants share."""
    for request in needs.of(REQUEST_HEADS):
        return request.tenant
    for session in needs.of(SESSIONS):
        return session.tenant
    for scope in needs.of(STATES):
        return scope.kind, scope.id
    return None


class WaitingBatches:
    """The queues. Batches of one tenant keep their order, but for those who write only what they have read before:
    behind writers that never pause they would lose every time. With such a one goes what its run has sent ahead."""

    def __init__(self) -> None:
        self._queues: OrderedDict[Hashable, deque[WaitingBatch]] = OrderedDict()
        self._size = 0
        self._last: Hashable = None
        self._several_until = 0.0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[WaitingBatch]:
        for queue in self._queues.values():
            yield from queue

    def append(self, waiting: WaitingBatch) -> None:
        self._queues.setdefault(waiting.whose, deque()).append(waiting)
        self._size += 1

    def put_back(self, waiting: Sequence[WaitingBatch]) -> None:
        """What a group has left: it comes first in the next one."""
        for one in reversed(waiting):
            self._queues.setdefault(one.whose, deque()).appendleft(one)
            self._queues.move_to_end(one.whose, last=False)
        self._size += len(waiting)

    def clear(self) -> None:
        self._queues.clear()
        self._size = 0

    def take(self, most: int, size_of: Callable[[WaitingBatch], int]) -> list[WaitingBatch]:
        """The next group of at most so many: one of each tenant in turn, and while several commit, :data:`MOST_BYTES`
        of large records."""
        room = MOST_BYTES
        bounded, large = self._several(), False
        slots: list[Hashable] = []
        by_tenant: dict[Hashable, list[WaitingBatch]] = {}
        aside: list[tuple[Hashable, deque[WaitingBatch]]] = []
        while self._queues and len(slots) < most:
            whose, queue = self._queues.popitem(last=False)
            size = size_of(queue[0]) if bounded else 0
            if large and size > max(room, 0):
                aside.append((whose, queue))
                continue
            room -= size
            large |= size > 0
            waiting = queue.popleft()
            self._size -= 1
            if queue:
                self._queues[whose] = queue
            if not waiting.answer.done():
                slots.append(whose)
                by_tenant.setdefault(whose, []).append(waiting)
        for whose, queue in reversed(aside):
            self._queues[whose] = queue
            self._queues.move_to_end(whose, last=False)
        in_order = {whose: iter(_swaps_first(batches)) for whose, batches in by_tenant.items()}
        return [next(in_order[whose]) for whose in slots]

    def _several(self) -> bool:
        """Whether more than one tenant commits, now or a moment ago."""
        now = monotonic()
        first = next(iter(self._queues), None)
        if len(self._queues) > 1 or first != self._last:
            self._last = first
            self._several_until = now + SEVERAL_SECONDS
        return now < self._several_until


def _swaps_first(group: list[WaitingBatch]) -> list[WaitingBatch]:
    if not any(waiting.swaps for waiting in group):
        return group
    runs = {waiting.run for waiting in group if waiting.swaps}
    first = [waiting for waiting in group if waiting.swaps or (waiting.run and waiting.run in runs)]
    return first + [waiting for waiting in group if waiting not in first]
