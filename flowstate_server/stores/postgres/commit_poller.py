"""Noticing what other processes commit, by looking at ``commits``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

from flowstate_server.errors import FlowStateError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.stores.contract.backend import Conflict
from flowstate_server.stores.contract.watch import WatchHub
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.sweeps import trim_commits
from flowstate_server.stores.tables.numbers import decode_topics

_log = logging.getLogger(__name__)

INTERVAL = 0.4
"""Seconds between looks when nobody has called for one: what a lost notification costs."""
BACK_OFF = 1.0
"""Seconds between looks while they fail, so that a database that comes back is not met by everyone at once."""
MOST_BEHIND = 10_000
"""Commits over which waking everyone costs less than reading whom each is for."""
OVERLAP = 1_000
"""Numbers that may still be on their way to be committed when a store begins to look."""
MISSING_SECONDS = 60.0
"""Longer than any group may take: the database ends one that is idle, locked out or too slow within seconds."""
TRIM_INTERVAL = 10.0
TRIM_AGE = 60 * SECOND
"""Rows must outlive the looks of all pollers, also of one that backs off, and an unclear commit that is asked about."""
TRIM_BATCH = 1_000
"""Rows a delete, so that none holds up the commits beside it."""

# To read the sequence like a table takes milliseconds while others draw from it.
_COMMITS = (
    "SELECT coalesce(pg_sequence_last_value('flowstate.commits_id_seq'), 0) AS id, NULL::bytea AS topics"
    " UNION ALL SELECT id, topics FROM flowstate.commits WHERE id > $1"
    " UNION ALL SELECT id, topics FROM flowstate.commits WHERE id = ANY ($2::bigint[]) LIMIT $3"
)
_NEWEST = "SELECT last_value FROM flowstate.commits_id_seq"


class CommitPoller:
    """Wakes the watches of this process for commits of others, and trims the table they are told by.

    Commits become visible out of the order of their numbers, so the numbers left out below the newest one are looked
    for until they are there. One that never comes belongs to a group that was rolled back; as that can't be told
    from one that takes long, everyone is woken when it is given up.
    """

    def __init__(self, connections: Connections, hub: WatchHub) -> None:
        self._connections = connections
        self._hub = hub
        self._asked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._newest = 0
        self._missing: dict[int, float] = {}  # numbers, and when each was first missed
        self._own: set[int] = set()
        self._failovers = 0
        self._closed = False

    async def start(self) -> None:
        await self._begin()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._trim())]

    async def close(self) -> None:
        # A connection that is dead silently fails when it is given back, in place of the cancellation.
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def skip(self, commit: int) -> None:
        """That commit is this store's own, and its watches are awake."""
        self._own.add(commit)

    def look(self) -> None:
        """Look now: somebody has told of a commit."""
        self._asked.set()

    async def _follow(self) -> None:
        failed = False
        while not self._closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BACK_OFF if failed else INTERVAL):
                    await self._asked.wait()
            self._asked.clear()
            try:
                await self._connections.look_at_node()
                if failed:
                    await self._begin()
                    self._hub.wake_all()
                else:
                    await self._look()
                failed = False
            except (FlowStateError, Conflict):
                failed = True
            except Exception:
                _log.exception("looking for commits failed")
                failed = True

    async def _begin(self) -> None:
        self._failovers = self._connections.nodes.failovers
        [(newest,)] = await self._connections.work(_NEWEST)
        self._newest = max(0, newest - OVERLAP)
        self._missing.clear()
        self._own.clear()
        self._note([commit for commit, _ in (await self._found())[1]])

    async def _look(self) -> None:
        newest, found = await self._found()
        # Behind our own position: the database has failed over to a node that was behind, or was restored.
        went_back = newest < self._newest or self._failovers != self._connections.nodes.failovers
        if went_back or len(found) > MOST_BEHIND:
            await self._begin()
            self._hub.wake_all()
            return
        self._note([commit for commit, _ in found])
        for commit, topics in found:
            if commit not in self._own:
                self._hub.wake(decode_topics(topics))
        self._own.difference_update(commit for commit, _ in found)
        self._give_up()

    async def _found(self) -> tuple[int, list[Any]]:
        """The newest number that was given to a commit, and the commits that were not seen yet."""
        limit = MOST_BEHIND + 2
        rows = await self._connections.work(_COMMITS, self._newest, list(self._missing), limit)
        newest = next(number for number, topics in rows if topics is None)
        return newest, [row for row in rows if row[1] is not None]

    def _note(self, found: list[int]) -> None:
        now = time.monotonic()
        for commit in sorted(found):
            if commit > self._newest:
                self._missing.update((missing, now) for missing in range(self._newest + 1, commit))
                self._newest = commit
            else:
                self._missing.pop(commit, None)

    def _give_up(self) -> None:
        before = time.monotonic() - MISSING_SECONDS
        given_up = [commit for commit, since in self._missing.items() if since < before]
        for commit in given_up:
            del self._missing[commit]
        if given_up:
            self._hub.wake_all()

    async def _trim(self) -> None:
        while not self._closed:
            await asyncio.sleep(TRIM_INTERVAL)
            with contextlib.suppress(FlowStateError, Conflict):
                await trim(self._connections)


async def trim(connections: Connections) -> None:
    while await trim_commits(connections, age=Micros(TRIM_AGE), limit=TRIM_BATCH) == TRIM_BATCH:
        pass
