"""Pages and tails of logs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from flowstate_server.engine.bindings import check_audience
from flowstate_server.engine.calls.logs import (
    EndReason,
    EventList,
    EventQuery,
    LogCursor,
    TailCall,
    TailFrame,
)
from flowstate_server.engine.logs.access import LogAccess, log_of
from flowstate_server.engine.logs.following import Following, topic_of
from flowstate_server.engine.logs.heartbeats import heartbeat_interval
from flowstate_server.engine.logs.log_page import LogPage
from flowstate_server.engine.logs.shared_reads import SharedReads
from flowstate_server.engine.logs.tail_progress import TailProgress
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    CursorAheadError,
    CursorInvalidError,
    CursorLogMismatchError,
    EventsCompactedError,
    RequestNotFoundError,
    ServiceError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from flowstate_server.model.events import LogHead
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.model.scopes import LogKey, SessionKey
from flowstate_server.observation import OK, Observer
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.stores.contract.reads import EventPage
from flowstate_server.stores.store import Store


class Events:
    """Serves the logs of requests and sessions: pages and tails.

    A tail holds a position, not a queue: it waits for a wake-up, reads what lies after its position and hands it over
    before it reads on. A slow reader costs one page of memory, beside the few small ones that it was told, and slows
    nobody.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        settings: EngineSettings,
        observer: Observer,
    ) -> None:
        self._store = store
        self._access = LogAccess(store, catalogue)
        self._settings = settings
        self._observer = observer
        self._pages: SharedReads[tuple[LogKey, int], LogPage | None] = SharedReads(self._read_page)
        self._told_pages: WeakValueDictionary[int, LogPage] = WeakValueDictionary()

    async def list(self, principal: Principal, query: EventQuery) -> EventList:
        """One page of what the caller's plane may see of the log."""
        key = log_of(principal, query.request_id, query.session_id)
        check_audience(principal, query.filter.audience)
        if query.after < 0:
            raise CursorInvalidError("a sequence is not negative")
        page = await self._page(principal, key, query.after, query.limit, self._settings.max_page_bytes)
        projector = await self._access.projector(principal, key, page.head, query.filter)
        if query.after > page.head.sequence:
            raise CursorAheadError(query.after, page.head.sequence)
        if query.after:
            _check_floor(query.after, page.head)
        elif page.head.floor:
            page = await self._page(
                principal, key, page.head.floor, query.limit, self._settings.max_page_bytes
            )
        return EventList(
            projector.visible(page.events),
            LogCursor(page.head.log_id, page.end),
            end_of_log=page.end == page.head.sequence,
        )

    async def follow(self, principal: Principal, call: TailCall) -> AsyncIterator[TailFrame]:
        """The frames of a tail; see ``flowstate.v1.TailEventsResponse``. Ends with :class:`TailEnded`."""
        key = log_of(principal, call.request_id, call.session_id)
        check_audience(principal, call.filter.audience)
        heartbeat = heartbeat_interval(call.heartbeat, self._settings)
        position = max(0, call.cursor.sequence)
        log_id = ""
        with self._store.watch((topic_of(key),), pages=True) as watch:

            async def read() -> LogPage:
                told = watch.next_page(log_id, position)
                return await self._shared_page(principal, key, position) if told is None else self._told(told)

            following = Following(watch, read, more=_is_cut)
            page = await following.next()
            projector = await self._access.projector(principal, key, page.head, call.filter)
            asked, position = position, _start(call, page.head)
            if call.latest:
                page = LogPage(EventPage((), page.head, position))
            elif position > asked:
                page = await self._shared_page(principal, key, position)
            log_id = page.head.log_id
            progress = TailProgress(key, log_id, position, heartbeat)
            with self._observed(principal.plane, progress):
                yield progress.started(page.head)
                while True:
                    for frame in progress.page(page, page.shown_by(projector)):
                        yield frame
                    position, latest = progress.position, page.head.sequence
                    if position == latest:
                        for frame in progress.caught_up():
                            yield frame
                        if page.head.ended or call.replay_only:
                            yield progress.ended(
                                EndReason.TERMINAL if page.head.ended else EndReason.REPLAY_DONE
                            )
                            return
                    if progress.patience <= 0:
                        yield progress.heartbeat(latest)
                    next_page = await self._next_page(key, following, progress, page.head)
                    if next_page is None:
                        yield progress.ended(EndReason.DELETED)
                        return
                    page = next_page
                    if page.head.log_id != progress.log_id or page.head.sequence < position:
                        await self._access.projector(principal, key, page.head, call.filter)
                        raise _no_such_place(progress, page.head)
                    _check_floor(position, page.head)

    async def _next_page(
        self, key: LogKey, following: Following[LogPage], progress: TailProgress, head: LogHead
    ) -> LogPage | None:
        """When there is news, at the latest when a heartbeat is due: a wake-up may be lost with what woke.

        ``None`` once the log was deleted, also where its session was made anew since.
        """
        try:
            page = await following.next(at_latest=progress.patience)
        except StoreUnavailableError:
            if progress.patience > 0:
                raise
            return LogPage(EventPage((), head, progress.position))
        except (SessionNotFoundError, RequestNotFoundError):
            return None
        over = page.head.ended or page.head.log_id != progress.log_id
        return None if over and isinstance(key, SessionKey) else page

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
        self, principal: Principal, key: LogKey, after: int, limit: int, max_bytes: int
    ) -> EventPage:
        page = await self._store.read_events(key, after=after, limit=limit, max_bytes=max_bytes)
        if page is None:
            raise await self._access.absent(principal, key)
        return page

    async def _shared_page(self, principal: Principal, key: LogKey, after: int) -> LogPage:
        """A page for a tail, read with all who wait for it at the same place."""
        page = await self._pages.read((key, after))
        if page is None:
            raise await self._access.absent(principal, key)
        return page

    def _told(self, page: EventPage) -> LogPage:
        """A page that a wake-up has told, the same for all who were told it."""
        shared = self._told_pages.get(id(page))  # which is nobody else's as long as that keeps it
        if shared is None:
            shared = self._told_pages[id(page)] = LogPage(page)
        return shared

    async def _read_page(self, place: tuple[LogKey, int]) -> LogPage | None:
        key, after = place
        settings = self._settings
        page = await self._store.read_events(
            key, after=after, limit=settings.batch_events, max_bytes=settings.batch_bytes
        )
        return None if page is None else LogPage(page)


def _start(call: TailCall, head: LogHead) -> int:
    if call.latest:
        return head.sequence
    if call.cursor.sequence < 0:
        raise CursorInvalidError("a sequence is not negative")
    if not (call.cursor.sequence or call.cursor.log_id):
        return head.floor  # the start is where what was kept begins
    if call.cursor.log_id and call.cursor.log_id != head.log_id:
        raise CursorLogMismatchError(head.log_id)
    if call.cursor.sequence > head.sequence:
        raise CursorAheadError(call.cursor.sequence, head.sequence)
    _check_floor(call.cursor.sequence, head)
    return call.cursor.sequence


def _check_floor(position: int, head: LogHead) -> None:
    """
    Raises:
        EventsCompactedError: durable events after ``position`` were removed.
    """
    if position < head.floor:
        raise EventsCompactedError(head.floor + 1, head.sequence)


def _no_such_place(progress: TailProgress, head: LogHead) -> ServiceError:
    """Why a tail can't go on in a log that went back, as after a failover to a copy that was behind."""
    if head.log_id != progress.log_id:
        return CursorLogMismatchError(head.log_id)
    return CursorAheadError(progress.position, head.sequence)


def _is_cut(page: LogPage) -> bool:
    return page.cut
