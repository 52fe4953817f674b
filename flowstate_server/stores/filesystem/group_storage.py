"""Running a group: load, decide, write, on the store's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TypeVar

from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.model.records import Outcome, RequestHead
from flowstate_server.model.scopes import RequestKey, ScopeKey
from flowstate_server.stores.contract.backend import LOAD_LIMIT, Group, GroupStorage
from flowstate_server.stores.contract.tables import Changes, Loaded, Needs
from flowstate_server.stores.contract.watch import Topic, WatchHub
from flowstate_server.stores.filesystem import names, records
from flowstate_server.stores.filesystem.contents import Contents
from flowstate_server.stores.filesystem.documents import document, line
from flowstate_server.stores.filesystem.journal import Append, Journal, Operation, Put, Remove
from flowstate_server.stores.filesystem.tables import Incarnation
from flowstate_server.stores.filesystem.worker import Worker

Key = TypeVar("Key")
Record = TypeVar("Record")


class FilesystemStorage(GroupStorage):
    def __init__(
        self, worker: Worker, journal: Journal, contents: Contents, hub: WatchHub, clock: ForwardClock
    ) -> None:
        self._worker = worker
        self._journal = journal
        self._contents = contents
        self._hub = hub
        self._clock = clock

    async def run(self, group: Group) -> None:
        self._hub.wake(await self._worker.run(self._run, group))

    def _run(self, group: Group) -> list[Topic]:
        self._journal.settle()
        loader = _Loader(self._contents, self._clock.now())
        ready = loader.load(group)
        changes = group.decide(loader.loaded, ready)
        if not changes.empty:
            plan = _Plan(self._contents, changes)
            self._journal.commit(plan.operations)
            self._contents.tables.apply(changes, plan.sizes)
        return changes.topics


class _Loader:
    def __init__(self, contents: Contents, time: Micros) -> None:
        self.loaded = Loaded(time)
        self._contents = contents
        self._size = 0

    def load(self, group: Group) -> int:
        """Gives how many batches are ready."""
        for position in range(len(group)):
            self._load(group.needs_of(position))
            if self._size > LOAD_LIMIT:
                return position + 1
        return len(group)

    def _load(self, needs: Needs) -> None:
        loaded, contents, tables = self.loaded, self._contents, self._contents.tables
        _add(loaded.requests, needs.requests, contents.request_head)
        sessions = needs.sessions | {
            loaded.requests[key].session for key in needs.requests if key in loaded.requests
        }
        _add(loaded.sessions, sessions, contents.session)
        _add(loaded.session_heads, sessions, tables.session_heads.get)
        for key in _add(loaded.states, needs.states, contents.state):
            self._size += len(loaded.states[key].text)
        _add(loaded.state_heads, needs.state_heads, tables.states.get)
        _add(loaded.processes, needs.processes, tables.processes.get)
        _add(loaded.idempotency_keys, needs.idempotency_keys, contents.idempotency_key)


def _add(loaded: dict[Key, Record], keys: Iterable[Key], get: Callable[[Key], Record | None]) -> list[Key]:
    """Load what is not loaded yet; gives what was found."""
    found = []
    for key in keys:
        if key not in loaded:
            record = get(key)
            if record is not None:
                loaded[key] = record
                found.append(key)
    return found


class _Plan:
    """What the changes come to in the files. ``sizes`` are the lengths of the events' lines."""

    def __init__(self, contents: Contents, changes: Changes) -> None:
        self._contents = contents
        self._changes = changes
        self._created = {record.key: record for record in changes.new_requests}
        self.sizes: list[int] = []
        self.operations: list[Operation] = [
            *self._logs(),
            *self._sessions(),
            *self._requests(),
            *self._states(),
            *self._others(),
        ]

    def _logs(self) -> Iterator[Operation]:
        texts: dict[Incarnation, list[bytes]] = {}
        for event in self._changes.events:
            text = line(records.event_members(event))
            self.sizes.append(len(text))
            texts.setdefault((event.session, event.session_log_id), []).append(text)
        for incarnation, lines in texts.items():
            log = self._contents.tables.log(*incarnation)
            if log.end == 0:
                lines.insert(0, log.header)
            yield Append(log.path, log.end, b"".join(lines))

    def _sessions(self) -> Iterator[Operation]:
        changes = self._changes
        for session in (*changes.new_sessions, *changes.changed_sessions):
            yield Put(names.session_path(session.key), document(records.session_members(session)))
        for head in (*changes.new_session_heads, *changes.changed_session_heads):
            yield Put(names.counters_path(head.key), document(records.counters_members(head)))

    def _requests(self) -> Iterator[Operation]:
        outcomes = {outcome.request: outcome for outcome in self._changes.outcomes}
        for record in self._changes.new_requests:
            path = names.request_path(record.head.session, record.key)
            yield Put(path, document(records.request_members(record)))
        for head in self._changes.changed_requests:
            yield from self._changed_request(head, outcomes.get(head.key))

    def _changed_request(self, head: RequestHead, outcome: Outcome | None) -> Iterator[Operation]:
        known = self._contents.tables.requests[head.key]
        if outcome is None and replace(known, sequence=head.sequence) == head:
            return  # only its log has grown, and that is found there
        record = self._contents.request(head.key)
        if record is None:
            raise LookupError("a changed request is not in the store")
        record = replace(record, head=head)
        if outcome is not None:
            record = replace(record, output=outcome.output, failure=outcome.failure)
        path = names.request_path(head.session, head.key)
        yield Put(path, document(records.request_members(record)))

    def _states(self) -> Iterator[Operation]:
        for state in (*self._changes.new_states, *self._changes.changed_states):
            yield Put(self._state_path(state.key), document(records.state_members(state)))
        for key in self._changes.removed_states:
            yield Remove(self._state_path(key))

    def _state_path(self, key: ScopeKey) -> PurePosixPath:
        created = self._created.get(RequestKey(key.tenant, key.id))
        if created is not None:
            return names.state_path(key, created.head.session)
        return self._contents.state_path(key)

    def _others(self) -> Iterator[Operation]:
        changes = self._changes
        for process in (*changes.new_processes, *changes.changed_processes):
            yield Put(names.process_path(process.process), document(records.process_members(process)))
        for key in (*changes.new_keys, *changes.replaced_keys):
            yield Put(names.key_path(key.key), document(records.key_members(key)))
