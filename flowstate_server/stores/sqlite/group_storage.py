"""Running a group: load, decide, write, in one transaction on the writer's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from flowstate_server.model.clock import ForwardClock
from flowstate_server.stores.contract.backend import Group, GroupStorage
from flowstate_server.stores.contract.watch import Topic
from flowstate_server.stores.sqlite.commit_poller import CommitPoller
from flowstate_server.stores.sqlite.known_rows import KnownRows
from flowstate_server.stores.sqlite.loading import Loader
from flowstate_server.stores.sqlite.reads import newest_time
from flowstate_server.stores.sqlite.writer import Writer
from flowstate_server.stores.sqlite.writing import write


class SqliteGroups(GroupStorage):
    def __init__(self, writer: Writer, poller: CommitPoller, clock: ForwardClock, known: KnownRows) -> None:
        self._writer = writer
        self._poller = poller
        self._clock = clock
        self._known = known

    async def run(self, group: Group) -> Iterable[Topic]:
        commit, topics = await self._writer.run(_run, self._known, self._clock, group)
        self._known.settle()
        # If the caller is cancelled before this, the poller finds the commit as it finds another process's.
        self._poller.skip(commit)
        return topics


def _run(
    cursor: sqlite3.Cursor, known: KnownRows, clock: ForwardClock, group: Group
) -> tuple[int, list[Topic]]:
    if known.begin(cursor):
        # Another process may have begun before the machine's clock was set back, and must not find our leases expired.
        clock.follow(newest_time(cursor))
    loader = Loader(cursor, known, clock.now())
    ready = loader.load(group)
    changes = group.decide(loader.loaded, ready)
    commit = write(cursor, changes, loader.loaded, loader.numbers)
    known.learn(changes, loader.loaded, loader.numbers)
    return commit, changes.topics
