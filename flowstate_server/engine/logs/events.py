"""Pages and tails of logs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from flowstate_server.engine.bindings import Bindings, check_owner
from flowstate_server.engine.calls.logs import EventList, LogCursor, TailCall, TailFrame
from flowstate_server.engine.logs.following import Following, topic_of
from flowstate_server.engine.logs.heartbeats import heartbeat_interval
from flowstate_server.engine.logs.projection import EventProjector
from flowstate_server.engine.logs.tail_progress import TailProgress
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    CursorAheadError,
    CursorInvalidError,
    CursorLogMismatchError,
    RequestNotFoundError,
    ServiceError,
    StoreUnavailableError,
)
from flowstate_server.log_context import found
from flowstate_server.model.events import LogHead
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.scopes import RequestKey
from flowstate_server.observation import OK, Observer
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.stores.contract.reads import EventPage
from flowstate_server.stores.store import Store


class Events:
    """Serves request logs: pages and tails.

    A tail holds a position, not a queue: it waits for a wake-up, reads what lies after its position and hands it over
    before it reads on. A slow reader costs one page of memory and slows nobody.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        bindings: Bindings,
        settings: EngineSettings,
        observer: Observer,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._bindings = bindings
        self._settings = settings
        self._observer = observer

    async def list(self, principal: Principal, request_id: str, after: int, page_size: int) -> EventList:
        """One page of what the caller's plane may see of the log after sequence ``after``."""
        key = RequestKey(principal.tenant, check_id("request_id", request_id))
        if after < 0:
            raise CursorInvalidError("a sequence is not negative")
        page = await self._page(key, after, page_size, self._settings.max_page_bytes)
        projector = await self._projector(principal, key, page.head)
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
        heartbeat = heartbeat_interval(call.heartbeat, self._settings)
        position = max(0, call.cursor.sequence)
        with self._store.watch((topic_of(key),)) as watch:
            following = Following(watch, lambda: self._page(key, position), more=_is_cut)
            page = await following.next()
            projector = await self._projector(principal, key, page.head)
            position = _start(call, page.head)
            if call.latest:
                page = EventPage((), page.head, position)
            progress = TailProgress(page.head.log_id, position, heartbeat)
            with self._observed(principal.plane, progress):
                yield progress.started(page.head.sequence)
                while True:
                    for frame in progress.page(page, projector.visible(page.events)):
                        yield frame
                    position, latest = progress.position, page.head.sequence
                    if position == latest:
                        for frame in progress.caught_up():
                            yield frame
                        if page.head.ended or call.replay_only:
                            yield progress.ended(terminal=page.head.ended)
                            return
                    if progress.patience <= 0:
                        yield progress.heartbeat(latest)
                    page = await self._next_page(following, progress, page.head)
                    if page.head.log_id != progress.log_id or page.head.sequence < position:
                        await self._projector(principal, key, page.head)
                        raise _no_such_place(progress, page.head)

    async def _next_page(
        self, following: Following[EventPage], progress: TailProgress, head: LogHead
    ) -> EventPage:
        """When there is news, at the latest when a heartbeat is due: a wake-up may be lost with what woke."""
        try:
            return await following.next(at_latest=progress.patience)
        except StoreUnavailableError:
            if progress.patience > 0:
                raise
            return EventPage((), head, progress.position)

    @contextmanager
    def _observed(self, plane: Plane, progress: TailProgress) -> Iterator[None]:
        began = time.monotonic()
        outcome = "left"
        try:
            yield
            outcome = OK
        except ServiceError as error:
            outcome = error.reason.value
            raise
        finally:
            seconds = time.monotonic() - began
            self._observer.tail(plane=plane.value, seconds=seconds, events=progress.events, outcome=outcome)

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

    async def _projector(self, principal: Principal, key: RequestKey, log: LogHead) -> EventProjector:
        """Shows the log that was read to its owner; to anyone else there is none."""
        record = await self._store.get_request(key)
        if record is None or record.head.log_id != log.log_id:
            raise RequestNotFoundError(key.request_id)
        head = record.head
        binding = await self._bindings.find(head.session)
        check_owner(principal, head, "" if binding is None else binding.org_id)
        found(record)
        flow = self._catalogue.find(binding.flow_kind) if binding is not None else None
        return EventProjector(principal.plane, None if flow is None else flow.described)


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


def _no_such_place(progress: TailProgress, head: LogHead) -> ServiceError:
    """Why a tail can't go on in a log that went back, as after a failover to a copy that was behind."""
    if head.log_id != progress.log_id:
        return CursorLogMismatchError(head.log_id)
    return CursorAheadError(progress.position, head.sequence)


def _is_cut(page: EventPage) -> bool:
    return page.end < page.head.sequence
