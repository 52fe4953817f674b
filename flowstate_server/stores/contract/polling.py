"""Wake-ups for a store that can't push: it is asked, every so often, what has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from flowstate_server.stores.contract.watch import Topic, WatchHub

_log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """What a look has seen: the newest commit's number, and what the commits since the one asked for have changed.

    ``topics`` is ``None`` where that is not known any more: everything may have changed.
    """

    commit: int
    topics: Iterable[Topic] | None


class PollingWatchHub(WatchHub):
    """A hub that learns of commits, of this process and of others, by looking.

    The store numbers its commits, each with a higher number than all before it, and ``changed_since(commit)`` tells
    what those with a higher number than ``commit`` have changed, as far as a read sees them. It is asked every
    ``interval`` seconds while anything is watched. A look that fails is logged and made again; no wake-up is lost by
    it, since the next one asks for the same commits.

    A wake-up comes up to ``interval`` and one look late, so set :attr:`Backend.max_wake_delay`, a class variable, to
    more than that. Start it in ``Backend.open``, close it in ``Backend.close``. A store that also calls :meth:`wake`
    after its own commits wakes its own watches at once.
    """

    def __init__(self, changed_since: Callable[[int], Awaitable[Seen]], *, interval: float = 0.05) -> None:
        super().__init__()
        self._changed_since = changed_since
        self._interval = interval
        self._commit = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin with the commits after this moment. Call it once, when the store is open."""
        self._commit = (await self._changed_since(0)).commit
        self._task = asyncio.create_task(self._poll(), name="flowstate-polling-watch")

    async def close(self) -> None:
        """Stop looking. Safe to call again."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def look(self) -> None:
        """Look once, now."""
        since = self._commit
        seen = await self._changed_since(since)
        went_back = seen.commit < since  # the store was restored, or failed over to a copy that was behind
        self._commit = seen.commit if went_back else max(self._commit, seen.commit)
        if went_back or seen.topics is None:
            self.wake_all()
        else:
            self.wake(seen.topics)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            # What changes while nothing is watched is told, once too often, to whoever watches next.
            if not self._watches:
                continue
            try:
                await self.look()
            except Exception:
                _log.warning("what has changed could not be read, and will be asked again", exc_info=True)
