"""The one loop that follows what a store keeps: watch, read until there is nothing new, wait, and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from flowstate_server.model.clock import Seconds
from flowstate_server.model.scopes import LogKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.watch import Topic, TopicKind, Watch

T = TypeVar("T")


def topic_of(log: LogKey) -> Topic:
    """What to watch for news of a log."""
    kind = TopicKind.SESSION if isinstance(log, SessionKey) else TopicKind.REQUEST
    return Topic(kind, *log)


def topic_of_record(scope: ScopeKey) -> Topic:
    """What to watch for changes of a session's, user's or org's record."""
    return Topic(TopicKind(scope.kind.value), scope.tenant, scope.id)


def topic_of_documents(scope: ScopeKey) -> Topic:
    """What to watch for changes of its resources."""
    return Topic(TopicKind(f"{scope.kind.value}_documents"), scope.tenant, scope.id)


class Following(Generic[T]):
    """Readings of what ``watch`` tells of, the first at once, each further one when there may be news.

    The watch is open already, so that what is committed after the first reading wakes it. A wake-up is only a hint: a
    reading may find nothing new. ``more`` says of a reading that the next one would find something already.
    """

    def __init__(
        self, watch: Watch, read: Callable[[], Awaitable[T]], more: Callable[[T], bool] | None = None
    ) -> None:
        self._watch = watch
        self._read = read
        self._more = more
        self._caught_up = False
        self.woken = False
        """Whether a wake-up has led to the last reading."""

    async def next(self, at_latest: Seconds | None = None) -> T:
        """The next reading, at the latest after so many seconds."""
        self.woken = False
        if not self._caught_up or await self._watch.wait(at_latest):
            self.woken = True
            return await self._reading()
        try:
            return await self._reading()
        except BaseException:
            self._caught_up = True  # there was no news, and no reason to read again before there is
            raise

    async def _reading(self) -> T:
        self._caught_up = False  # should this one break
        reading = await self._read()
        self._caught_up = self._more is None or not self._more(reading)
        return reading
