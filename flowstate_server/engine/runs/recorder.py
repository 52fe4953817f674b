"""Collects what a run emits and puts it into the log, in order, with few commits."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flowstate_server.engine.logs.following import topic_of
from flowstate_server.engine.runs.flush_pace import FlushPace
from flowstate_server.engine.runs.store_outage import LONGEST_PAUSE, once_back
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    MessageTooLargeError,
    RequestTerminalError,
    ServiceError,
    StoreUnavailableError,
)
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.items import Audience
from flowstate_server.model.payloads import ItemDelta
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    Batch,
    CommitResult,
    PartlyCommitted,
    RequireRun,
    Savepoint,
    Write,
)
from flowstate_server.stores.store import Store

T = TypeVar("T")

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class PendingDelta:
    """Text of a streamed item not yet written; adjacent pieces of one item become one event."""

    item_id: str
    index: int
    audiences: frozenset[Audience]
    block_path: tuple[str, ...]
    pieces: list[str] = field(default_factory=list)

    def event(self) -> Event:
        payload = ItemDelta(self.item_id, self.index, "".join(self.pieces))
        return Event(
            EventType.ITEM_DELTA, payload.encode(), self.audiences, transient=True, block_path=self.block_path
        )


class Recorder:
    """The events of one run on their way to the store.

    What it holds is committed ahead of the run's next write, in its batch; a write that is refused takes no event with
    it. If there is none it is flushed at the ``pace`` of the process or at ``flush_events``. While the store is away
    it is tried again with growing pauses.
    """

    def __init__(
        self,
        store: Store,
        request: RequestKey,
        session: SessionKey,
        process_id: str,
        settings: EngineSettings,
        pace: FlushPace,
    ) -> None:
        self._store = store
        self._request = request
        self._session = session
        self._logs = topic_of(request), topic_of(session)
        self._guard = RequireRun(request, process_id)
        self._settings = settings
        self._pace = pace
        self._held: list[Event | PendingDelta] = []
        self._under_way = 0  # so many events are with the store, which may yet refuse them
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._ahead: asyncio.Task[CommitResult | Exception] | None = None
        self._due = False  # again, after the flush that is under way
        self._pause = 0.0  # over 0: the store is away
        self._closed = False
        # Its tasks are begun amid code of authors and are not theirs: one that kept their context would keep the run,
        # and the run it.
        self._context = contextvars.copy_context()
        self.sequence = 0
        """The newest event of the run that the store has acknowledged."""

    def hold(self, event: Event) -> bool:
        """Take an event; it will be committed in the order of the calls. Whether :meth:`room` is to be awaited now.

        Raises:
            MessageTooLargeError: no tail could deliver it.
            RequestTerminalError: the run has ended, by itself or elsewhere, or is just about to.
        """
        self.check_open()
        size, limit = len(event.payload), self._settings.max_item_bytes
        if size > limit:
            raise MessageTooLargeError("The event", size, limit)
        held = self._held
        held.append(event)
        if self._timer is None or len(held) >= self._settings.flush_events:
            self._schedule()
        return self._crowded

    def hold_delta(
        self, item_id: str, index: int, text: str, audiences: frozenset[Audience], block_path: tuple[str, ...]
    ) -> None:
        self.check_open()
        last = self._held[-1] if self._held else None
        if isinstance(last, PendingDelta) and last.item_id == item_id:
            last.pieces.append(text)
            return
        self._held.append(PendingDelta(item_id, index, audiences, block_path, [text]))
        self._schedule()

    async def room(self) -> None:
        """Wait while far more is held than the store has taken: emitting is as fast as committing, not faster."""
        while self._crowded and not self._closed:
            if self._pause:
                await asyncio.sleep(self._pause)
            elif self._ahead is not None:
                await asyncio.shield(self._ahead)
            else:
                await asyncio.shield(self._flush_soon())

    @property
    def _crowded(self) -> bool:
        return len(self._held) + self._under_way >= self._settings.max_held_events

    async def write(self, *writes: Write) -> CommitResult:
        """Commit ``writes`` as one batch of this run, behind what is held, once the store is there.

        Raises:
            UnclearCommitError: it may have been done.
            RequestTerminalError: the run has ended.
            What the writes raise.
        """
        return await once_back(lambda: self._write(writes), away=self.check_open)

    async def last(self) -> tuple[Event, ...]:
        """What is held, after which nothing more is taken: it goes with the run's :meth:`end`."""
        await self.settle()
        if self._ahead is not None:
            await asyncio.shield(self._ahead)
        return self.close()

    async def end(self, finish: Write, held: tuple[Event, ...]) -> CommitResult:
        """Commit ``finish`` and the :meth:`last` events as the run's last batch, once the store is there.

        Raises:
            UnclearCommitError: it may have been done.
            What ``finish`` raises.
        """
        batch = (self._guard, self.appended(held), finish) if held else (self._guard, finish)
        return await once_back(lambda: self._store.commit(batch))

    async def once_back(self, operation: Callable[[], Awaitable[T]]) -> T:
        """What ``operation`` gives, once the store is there and as long as the run goes on.

        Raises:
            RequestTerminalError: the run has ended and the store is away; it may be closed for good.
        """
        return await once_back(operation, away=self.check_open)

    def check_open(self) -> None:
        """
        Raises:
            RequestTerminalError: the run has ended.
        """
        if self._closed:
            raise RequestTerminalError(self._request.request_id)

    async def _write(self, writes: tuple[Write, ...]) -> CommitResult:
        # Not beside a flush: if that finds no room, a smaller write may, and would overtake what was emitted before.
        await self.settle()
        held = self.take()
        if held:
            # A task, as what is held must not get lost with a block that is cancelled meanwhile.
            self._ahead = ahead = self._begun(self._append_ahead(held, writes))
            ahead.add_done_callback(self._passed)
            answer = await asyncio.shield(ahead)
            del ahead
            if isinstance(answer, CommitResult):
                return answer
            try:
                raise answer
            finally:
                del answer  # or the exception's traceback holds the frame that holds the exception
        if self._ahead is None:
            return await self._commit((self._guard, *writes))
        ahead = self._ahead
        try:
            await asyncio.sleep(0)  # now it is enqueued: both meet in one group, in this order
            return await self._commit((self._guard, *writes))
        finally:
            await asyncio.shield(ahead)

    async def _append_ahead(
        self, held: tuple[Event, ...], writes: tuple[Write, ...]
    ) -> CommitResult | Exception:
        """Commit ``held`` and ``writes`` as one batch; what is held alone where the writes are refused."""
        batch = (self._guard, self.appended(held), Savepoint(), *writes)
        try:
            return await self._committed(held, batch)
        except PartlyCommitted as refused:
            self._learn(refused.result)
            return refused.error
        except StoreUnavailableError as error:
            return error
        except Exception:
            # The one may have failed with the other, if not as a refused write: each for itself.
            try:
                await self._append(held)
                return await self._commit((self._guard, *writes))
            except Exception as error:
                return error

    def _passed(self, task: asyncio.Task[CommitResult | Exception]) -> None:
        if self._ahead is task:
            self._ahead = None

    async def _commit(self, batch: Batch) -> CommitResult:
        result = await self._store.commit(batch)
        self._learn(result)
        return result

    def _learn(self, result: CommitResult) -> None:
        for written in result.results:
            if written.head is not None:
                self.sequence = max(self.sequence, written.head.sequence)

    async def flush(self) -> None:
        """Commit what is held now."""
        held = self.take()
        if held:
            await self._append(held)

    async def settle(self) -> None:
        """Wait for a flush that is under way; what it could not commit is held again."""
        if self._flushing is not None and not self._flushing.done():
            await asyncio.shield(self._flushing)

    def take(self) -> tuple[Event, ...]:
        """Everything held, which the caller now commits."""
        held, self._held = self._held, []
        return tuple(entry.event() if isinstance(entry, PendingDelta) else entry for entry in held)

    def close(self) -> tuple[Event, ...]:
        """Nothing is taken or flushed from now on: the run has ended, by itself or elsewhere. What was held is the
        caller's."""
        self._closed = True
        self._stop_timer()
        return self.take()

    def appended(self, events: tuple[Event, ...]) -> AppendEvents:
        return AppendEvents(self._session, events, self._request)

    async def _append(self, held: tuple[Event, ...]) -> None:
        try:
            await self._committed(held, (self._guard, self.appended(held)))
        except StoreUnavailableError:
            pass  # they are held again
        except ServiceError as error:
            # The run has ended elsewhere; its next write learns the same.
            _logger.info("events of request %s were refused: %s", self._request.request_id, error)

    async def _committed(self, held: tuple[Event, ...], batch: Batch) -> CommitResult:
        """Commit a batch that has what was held, which is held again where the store is away."""
        self._under_way += len(held)
        pause = 0.0
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            result = await self._commit(batch)
            self._pace.took(loop.time() - began)
            return result
        except StoreUnavailableError:
            self._held[:0] = held
            pause = min(LONGEST_PAUSE, max(self._settings.flush_after, 2 * self._pause))
            raise
        finally:
            self._under_way -= len(held)
            self._pause = pause
            if pause:
                self._schedule()

    def _schedule(self) -> None:
        if self._closed:
            self._held.clear()  # a flush came back with what the store did not take
        elif len(self._held) >= self._settings.flush_events and not self._pause:
            self._flush_soon()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            pause = self._pause or self._pace.delay(self._store.followers(self._logs), loop.time())
            self._timer = loop.call_later(pause, self._flush_held, context=self._context)

    def _flush_held(self) -> None:
        # A timer is left alone by a write that takes what it was for: to stop it and start another costs more.
        self._timer = None
        if self._held:
            self._flush_soon()

    def _flush_soon(self) -> asyncio.Task[None]:
        self._stop_timer()
        self._due = True
        if self._flushing is None or self._flushing.done():
            self._flushing = self._begun(self._flush_while_due())
        return self._flushing

    def _begun(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self._context.copy().run(asyncio.create_task, work)

    async def _flush_while_due(self) -> None:
        while self._due:
            self._due = False
            await self.flush()
            if self._pause:
                return

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
