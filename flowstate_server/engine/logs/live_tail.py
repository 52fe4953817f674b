"""Catch up, then follow: the one loop behind every tail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from flowstate_server.engine.bindings import Bindings, check_owner
from flowstate_server.engine.calls.logs import EventList, LogCursor, TailCall, TailFrame
from flowstate_server.engine.logs.projection import EventProjector
from flowstate_server.engine.logs.tail_progress import TailProgress
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    CursorAheadError,
    CursorInvalidError,
    CursorLogMismatchError,
    RequestNotFoundError,
)
from flowstate_server.flows.registry import FlowRegistry
from flowstate_server.model.events import LogHead
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.reads import EventPage
from flowstate_server.stores.contract.watch import Topic, TopicKind, Watch
from flowstate_server.stores.store import Store


class Events:
    """Serves request logs: pages and tails.

    A tail holds a position, not a queue: it waits for a wake-up, reads what lies after its position and hands it over
    before it reads on. A slow reader costs one page of memory and slows nobody.
    """

    def __init__(
        self, store: Store, registry: FlowRegistry, bindings: Bindings, settings: EngineSettings
    ) -> None:
        self._store = store
        self._registry = registry
        self._bindings = bindings
        self._settings = settings

    async def list(self, principal: Principal, request_id: str, after: int, page_size: int) -> EventList:
        """One page of what the caller's plane may see of the log after sequence ``after``."""
        key = RequestKey(principal.tenant, check_id("request_id", request_id))
        if after < 0:
            raise CursorInvalidError("a sequence is not negative")
        projector = await self._projector(principal, key)
        page = await self._page(key, after, page_size, self._settings.max_page_bytes)
        if after > page.head.sequence:
            raise CursorAheadError(after, page.head.sequence)
        return EventList(
            projector.visible(page.events),
            LogCursor(page.head.log_id, page.end),
            end_of_log=page.end == page.head.sequence,
        )

    async def follow(self, principal: Principal, call: TailCall) -> AsyncIterator[TailFrame]:
        """The frames of a tail; see ``flowstate.v1.TailEventsResponse``. Ends with :class:`TailEnded`."""
        key = RequestKey(principal.tenant, check_id("request_id", call.request_id))
        heartbeat = self._heartbeat(call.heartbeat)
        with self._store.watch((Topic(TopicKind.REQUEST, *key),)) as watch:
            projector = await self._projector(principal, key)
            page = await self._page(key, max(0, call.cursor.sequence))
            position = _start(call, page.head)
            if call.latest:
                page = EventPage((), page.head, position)
            progress = TailProgress(page.head.log_id, position, heartbeat)
            yield progress.started(page.head.sequence)
            while True:
                for frame in progress.page(page, projector.visible(page.events)):
                    yield frame
                if progress.position == page.head.sequence:
                    for frame in progress.caught_up():
                        yield frame
                    if page.head.ended or call.replay_only:
                        yield progress.ended(terminal=page.head.ended)
                        return
                    while not await _woken(watch, progress.patience):
                        yield progress.heartbeat(page.head.sequence)
                elif progress.patience <= 0:
                    yield progress.heartbeat(page.head.sequence)
                page = await self._page(key, progress.position)

    async def _page(
        self, key: RequestKey, after: int, limit: int | None = None, max_bytes: int | None = None
    ) -> EventPage:
        settings = self._settings
        page = await self._store.read_events(
            key,
            after=after,
            limit=limit or settings.batch_events,
            max_bytes=max_bytes or settings.batch_bytes,
        )
        if page is None:
            raise RequestNotFoundError(key.request_id)
        return page

    async def _projector(self, principal: Principal, key: RequestKey) -> EventProjector:
        """Shows the log to its owner; to anyone else there is none."""
        record = await self._store.get_request(key)
        if record is None:
            raise RequestNotFoundError(key.request_id)
        head = record.head
        binding = await self._bindings.find(head.session)
        check_owner(principal, head, "" if binding is None else binding.org_id)
        flow = self._registry.find(binding.flow_kind) if binding is not None else None
        return EventProjector(principal.plane, flow)

    def _heartbeat(self, asked: float) -> float:
        if asked <= 0:
            return self._settings.heartbeat
        return min(max(asked, self._settings.min_heartbeat), self._settings.max_heartbeat)


def _start(call: TailCall, head: LogHead) -> int:
    if call.latest:
        return head.sequence
    if call.cursor.sequence < 0:
        raise CursorInvalidError("a sequence is not negative")
    if call.cursor.log_id and call.cursor.log_id != head.log_id:
        raise CursorLogMismatchError(head.log_id)
    if call.cursor.sequence > head.sequence:
        raise CursorAheadError(call.cursor.sequence, head.sequence)
    return call.cursor.sequence


async def _woken(watch: Watch, seconds: float) -> bool:
    if seconds <= 0:
        return False
    try:
        async with asyncio.timeout(seconds):
            await watch.wait()
    except TimeoutError:
        return False
    return True
