"""Wake-ups: a hint that something changed. The log is the truth, a wake-up only says "look again"."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple, Self

from flowstate_server.model.identity import Tenant
from flowstate_server.model.word import Word


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
    """One subscriber's wake-ups. Use it as a context manager.

    :meth:`wait` returns once a wake-up has come since the last :meth:`wait` returned (or since the watch was opened),
    so a reader that waits, then reads until there is nothing new, misses nothing. Wake-ups may be spurious.
    """

    def __init__(self, hub: WatchHub, topics: tuple[Topic, ...]) -> None:
        self._hub = hub
        self._topics = topics
        self._woken = asyncio.Event()

    @property
    def is_woken(self) -> bool:
        """Whether :meth:`wait` would return at once."""
        return self._woken.is_set()

    async def wait(self) -> None:
        await self._woken.wait()
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._hub.forget(self, self._topics)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WatchHub:
    """The watches of one process, by topic. An adapter owns one and tells it of every commit it learns of."""

    def __init__(self) -> None:
        self._watches: dict[Topic, set[Watch]] = {}

    def open(self, topics: Iterable[Topic]) -> Watch:
        watch = Watch(self, tuple(topics))
        for topic in watch._topics:
            self._watches.setdefault(topic, set()).add(watch)
        return watch

    def forget(self, watch: Watch, topics: Iterable[Topic]) -> None:
        for topic in topics:
            watches = self._watches.get(topic)
            if watches is not None:
                watches.discard(watch)
                if not watches:
                    del self._watches[topic]

    def wake(self, topics: Iterable[Topic]) -> None:
        for topic in topics:
            for watch in self._watches.get(topic, ()):
                watch.wake()

    def wake_all(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()
