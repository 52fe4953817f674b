"""The half of a commit that every store has of its own: load, let the group decide, write."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from examples.custom_store import reads
from examples.custom_store.snapshot import Snapshot, after, own
from examples.custom_store.snapshot_file import SnapshotFile
from flowstate_server.model.records import StateHead
from flowstate_server.stores.contract.backend import Group, GroupStorage
from flowstate_server.stores.contract.tables import (
    REQUEST_HEADS,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATE_HEADS,
    STATES,
    Loaded,
    Needs,
    Table,
)
from flowstate_server.stores.contract.watch import Topic


class SnapshotStorage(GroupStorage):
    def __init__(self, file: SnapshotFile) -> None:
        self._file = file

    async def run(self, group: Group) -> Iterable[Topic]:
        return await asyncio.to_thread(self._commit, group)

    def _commit(self, group: Group) -> Iterable[Topic]:
        with self._file.locked():
            before = self._file.read()
            changes = group.decide(load(before, group.needs))
            if not changes.empty:
                self._file.write(after(before, changes))
        return changes.topics


def load(snapshot: Snapshot, needs: Needs) -> Loaded:
    loaded = Loaded(reads.time_of(snapshot))
    for table, keys in needs.keys.items():
        if table is REQUEST_HEADS:
            found = _found(snapshot, REQUESTS, keys)
            loaded.records[table] = {key: request.head for key, request in found.items()}
        elif table is STATE_HEADS:
            found = _found(snapshot, STATES, keys)
            loaded.records[table] = {
                key: StateHead(key, one.version, one.incarnation, one.exists) for key, one in found.items()
            }
        else:
            loaded.records[table] = own(_found(snapshot, table, keys))
    sessions = needs.of(SESSIONS) | {head.session for head in loaded.of(REQUEST_HEADS).values()}
    loaded.records[SESSIONS] = own(_found(snapshot, SESSIONS, sessions))
    loaded.records[SESSION_HEADS] = _found(snapshot, SESSION_HEADS, sessions)
    for which in needs.ranges:
        loaded.ranges[which] = reads.documents(snapshot, which)[: which.limit]
    for session in needs.open_requests:
        loaded.open_requests[session] = reads.open_requests(snapshot, session)
    return loaded


def _found(snapshot: Snapshot, table: Table[Any, Any], keys: Iterable[Any]) -> dict[Any, Any]:
    records = snapshot.of(table)
    return {key: records[key] for key in keys if key in records}
