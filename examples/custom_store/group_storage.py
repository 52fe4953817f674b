"""The half of a commit that every store has of its own: load, let the group decide, write."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TypeVar

from examples.custom_store.snapshot import Snapshot, after, own
from examples.custom_store.snapshot_file import SnapshotFile
from flowstate_server.model.clock import Micros, system_micros
from flowstate_server.model.records import StateHead
from flowstate_server.stores.contract.backend import Group, GroupStorage
from flowstate_server.stores.contract.tables import Changes, Loaded, Needs
from flowstate_server.stores.contract.watch import WatchHub

Key = TypeVar("Key")
Row = TypeVar("Row")


class SnapshotStorage(GroupStorage):
    def __init__(self, file: SnapshotFile, watches: WatchHub) -> None:
        self._file = file
        self._watches = watches

    async def run(self, group: Group) -> None:
        changes = await asyncio.to_thread(self._commit, group)
        self._watches.wake(changes.topics)

    def _commit(self, group: Group) -> Changes:
        with self._file.locked():
            before = self._file.read()
            changes = group.decide(_load(before, group.needs))
            if not changes.empty:
                self._file.write(after(before, changes))
        return changes


def time_of(snapshot: Snapshot) -> Micros:
    """The store's time: the machine's, but never before that of a commit."""
    return max(snapshot.time, system_micros())


def _load(snapshot: Snapshot, needs: Needs) -> Loaded:
    requests = {key: one.head for key, one in _found(snapshot.requests, needs.requests).items()}
    sessions = needs.sessions | {head.session for head in requests.values()}
    return Loaded(
        time_of(snapshot),
        sessions=own(_found(snapshot.sessions, sessions)),
        session_heads=_found(snapshot.session_heads, sessions),
        requests=requests,
        states=own(_found(snapshot.states, needs.states)),
        state_heads={
            key: StateHead(key, one.version, one.incarnation, one.exists)
            for key, one in _found(snapshot.states, needs.state_heads).items()
        },
        processes=_found(snapshot.processes, needs.processes),
        idempotency_keys=_found(snapshot.idempotency_keys, needs.idempotency_keys),
    )


def _found(rows: Mapping[Key, Row], keys: Iterable[Key]) -> dict[Key, Row]:
    return {key: rows[key] for key in keys if key in rows}
