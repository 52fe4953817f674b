"""Wake-ups: a hint that something changed. The log is the truth, a wake-up only says "look again".

One may tell what a look would find: a page of a log, as the commit has appended it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Self

from flowstate_server.model.clock import Seconds
from flowstate_server.model.identity import Tenant
from flowstate_server.model.word import Word
from flowstate_server.watchdog import Watchdog

if TYPE_CHECKING:
    from flowstate_server.stores.contract.reads import EventPage

WOKEN_AT_ONCE = 25
"""Watches of a topic, in one turn of the loop: each has something to do then, and calls wait for the turn to end."""
TOLD_PAGES = 4
"""Most pages that a watch keeps for a reader who is busy; who has missed more reads."""
FRESH_SECONDS = 0.25
"""So long a page may be taken: what it tells may be removed meanwhile, by another process too."""
_NO_PAGES: Mapping[Topic, EventPage] = {}


class TopicKind(Word):
    REQUEST = "request"
    SESSION = "session"
    USER = "user"
    ORG = "org"
    PROCESS = "process"
    SESSION_DOCUMENTS = "session_documents"
    USER_DOCUMENTS = "user_documents"
    ORG_DOCUMENTS = "org_documents"
    FLOW_DOCUMENTS = "flow_documents"


class Topic(NamedTuple):
    """Something to watch: a request's log or status, a session's log, a user's or org's record, a process's requests
    that were asked to cancel, the documents of a session, user, org or flow. ``tenant`` is empty where the thing has
    none."""

    kind: TopicKind
    tenant: Tenant
    id: str


class Watch:
    """One subscriber's wake-ups. Use it as a context manager; one reader waits at a time.

    :meth:`wait` returns once a wake-up has come since the last :meth:`wait` returned (or since the watch was opened),
    so a reader that waits, then reads until there is nothing new, misses nothing. Wake-ups may be spurious.

    One that was opened for ``pages``, of one log, keeps those that it is told.
    """

    __slots__ = ("_hub", "_pages", "_topics", "_waiter", "_watchdog", "_woken", "wants_pages")

    def __init__(self, hub: WatchHub, topics: tuple[Topic, ...], *, pages: bool = False) -> None:
        self._hub = hub
        self._topics = topics
        self._woken = False
        self._waiter: asyncio.Future[None] | None = None
        self._watchdog: Watchdog | None = None
        self._pages: deque[_Told] | None = None
        self.wants_pages = pages

    @property
    def is_woken(self) -> bool:
        """Whether :meth:`wait` would return at once."""
        return self._woken or bool(self._pages)

    async def wait(self, at_latest: Seconds | None = None) -> bool:
        """Whether it was woken before so many seconds were over."""
        if not self.is_woken:
            await self._pass(at_latest)
            if not self.is_woken:
                return False
        self._woken = False
        return True

    async def _pass(self, seconds: Seconds | None) -> None:
        if self._waiter is not None:
            raise RuntimeError("a watch has one reader, who waits already")
        if seconds is not None and seconds <= 0:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        if seconds is not None:
            self._watchdog = self._watchdog or Watchdog(self._go_on)
            self._watchdog.start(seconds)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if self._watchdog is not None:
                self._watchdog.stop()

    def _go_on(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def next_page(self, log_id: str, position: int) -> EventPage | None:
        """What was appended to the log directly after ``position``, if that was told. Nothing is kept of what can't
        follow there: a reading that begins now finds it."""
        while self._pages:
            page, removals, until = self._pages.popleft()
            begin = page.end - len(page.events)
            stale = removals != self._hub.removals or until < monotonic()
            if stale or page.head.log_id != log_id or begin > position:
                self._pages = None
            elif begin == position:
                return page
        return None

    def wake(self, told: _Told | None = None) -> None:
        """``told`` is all that there is to see, ``None`` where it has to be looked for."""
        if self.wants_pages:
            self._keep(told)
        self._woken = True
        self._go_on()

    def _keep(self, told: _Told | None) -> None:
        if told is None or (self._pages is not None and len(self._pages) == TOLD_PAGES):
            self._pages = None
        elif self._pages is not None:
            self._pages.append(told)
        elif not self._woken:  # else there is something to look for first
            self._pages = deque((told,))

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.close()
        self._hub.forget(self, self._topics)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WatchHub:
    """The watches of one process, by topic. An adapter owns one and tells it of every commit it learns of."""

    def __init__(self) -> None:
        self._watches: dict[Topic, dict[Watch, None]] = {}
        self.removals = 0
        """Commits of this process that took something out of logs: no page that was told before them holds any more."""

    def open(self, topics: Iterable[Topic], *, pages: bool = False) -> Watch:
        watch = Watch(self, tuple(topics), pages=pages)
        for topic in watch._topics:
            self._watches.setdefault(topic, {})[watch] = None
        return watch

    def forget(self, watch: Watch, topics: Iterable[Topic]) -> None:
        for topic in topics:
            watches = self._watches.get(topic)
            if watches is not None:
                watches.pop(watch, None)
                if not watches:
                    del self._watches[topic]

    def count(self, topic: Topic) -> int:
        """Of the watches that are open on it."""
        return len(self._watches.get(topic, ()))

    def wants_pages(self, topic: Topic) -> bool:
        """Whether anybody would keep a page of the log."""
        return any(watch.wants_pages for watch in self._watches.get(topic, ()))

    def wake(self, topics: Iterable[Topic], pages: Mapping[Topic, EventPage] = _NO_PAGES) -> None:
        """Of the ``topics`` that have one in ``pages``, this is all that there is to see."""
        for topic in topics:
            watches = self._watches.get(topic)
            if watches:
                page = pages.get(topic)
                told = None if page is None else _Told(page, self.removals, monotonic() + FRESH_SECONDS)
                _wake(tuple(watches), told)

    def wake_all(self) -> None:
        for watches in self._watches.values():
            _wake(tuple(watches), None)


class _Told(NamedTuple):
    """``until`` by the monotonic clock."""

    page: EventPage
    removals: int
    until: float


def _wake(watches: Sequence[Watch], told: _Told | None) -> None:
    for watch in watches[:WOKEN_AT_ONCE]:
        watch.wake(told)
    if rest := watches[WOKEN_AT_ONCE:]:
        asyncio.get_running_loop().call_soon(_wake, rest, told)
