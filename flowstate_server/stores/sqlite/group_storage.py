"""Running a group: load, decide, write, in one transaction on the writer's thread."""

from __future__ import annotations

import sqlite3

from flowstate_server.model.clock import system_micros
from flowstate_server.stores.contract.storage import Group, GroupStorage
from flowstate_server.stores.contract.watch import Topic, WatchHub
from flowstate_server.stores.sqlite.commit_poller import CommitPoller
from flowstate_server.stores.sqlite.known_rows import KnownRows
from flowstate_server.stores.sqlite.loading import Loader
from flowstate_server.stores.sqlite.writer import Writer
from flowstate_server.stores.sqlite.writing import write


class SqliteStorage(GroupStorage):
    def __init__(self, writer: Writer, hub: WatchHub, poller: CommitPoller) -> None:
        self._writer = writer
        self._hub = hub
        self._poller = poller
        self._known = KnownRows()

    async def run(self, group: Group) -> None:
        commit, topics = await self._writer.run(_run, self._known, group)
        self._known.settle()
        # If the caller is cancelled before this, the poller finds the commit as it finds another process's.
        self._hub.wake(topics)
        self._poller.skip(commit)


def _run(cursor: sqlite3.Cursor, known: KnownRows, group: Group) -> tuple[int, list[Topic]]:
    known.begin(cursor)
    loader = Loader(cursor, known, system_micros())
    ready = loader.load(group)
    changes = group.decide(loader.loaded, ready)
    commit = write(cursor, changes, loader.numbers)
    known.learn(changes, loader.numbers)
    return commit, changes.topics
