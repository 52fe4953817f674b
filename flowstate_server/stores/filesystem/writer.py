"""Changes in the files, then in the tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.records import RequestRecord
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.removals import rewritten_events
from flowstate_server.stores.contract.tables import REQUESTS, Changes
from flowstate_server.stores.filesystem.event_log import EventLog, event_lines
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.stores.filesystem.journal import Append, Journal, Operation, Put, Remove
from flowstate_server.stores.filesystem.kept import KEPT, PATHS
from flowstate_server.stores.filesystem.members import file_text
from flowstate_server.stores.filesystem.records import members_of
from flowstate_server.stores.resident.damage import Incarnation
from flowstate_server.stores.resident.tables import Tables

_log = logging.getLogger(__name__)


class Writer:
    """Used on the store's thread alone: whatever is read there stays as it is until the write is over."""

    def __init__(
        self,
        folder: Path,
        files: Files,
        journal: Journal,
        tables: Tables,
        logs: dict[Incarnation, EventLog],
        check_folder: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._files = files
        self._journal = journal
        self._tables = tables
        self._logs = logs
        self._check_folder = check_folder

    def write(self, changes: Changes) -> None:
        """
        Raises:
            OSError: nothing was written.
        """
        self._check_folder()
        left = self._rewritten(changes)
        logged = self._logged(changes, left)
        operations: list[Operation] = [
            *(operation for _, operation, _ in logged),
            *self._puts(changes),
            *self._removals(changes),
        ]
        gone = [(cut.session, cut.log_id, self._tables.cut_events(cut)) for cut in changes.cuts]
        if operations:
            self._journal.commit(operations)
        with self._tables as tables:
            tables.apply(changes)
        for log, _, end in logged:
            log.end = end
            self._logs[log.session, log.log_id] = log
        if left:
            self._forget_journal()
        for session, log_id, places in gone:
            try:
                self._rewrite((session, log_id), places)
            except OSError as error:
                _log.warning("removed events stay in their file until it is opened again: %s", error)

    def remove(self, changes: Changes, log: Incarnation | None) -> None:
        """Write changes that only remove, with a whole log if one is given; folders that are empty then go as well.

        Raises:
            OSError: nothing was written.
        """
        self._check_folder()
        removals = [*self._removals(changes)]
        if log in self._logs:
            removals.append(Remove(self._logs[log].path))
        operations: list[Operation] = [*self._puts(changes), *removals]
        if operations:
            self._journal.commit(operations)
        with self._tables as tables:
            tables.apply(changes)
            if log is not None:
                tables.drop_log(log)
                self._logs.pop(log, None)
        for folder in dict.fromkeys(removal.path.parent for removal in removals):
            self._remove_empty(folder)

    def _removals(self, changes: Changes) -> Iterator[Remove]:
        for table, keys in changes.removed.items():
            for key in keys:
                yield Remove(PATHS[table](key, self._session_of))

    def _remove_empty(self, folder: PurePosixPath) -> None:
        """The folder, and those around it, as far as nothing is in them."""
        with suppress(OSError):
            while len(folder.parts) > 1:
                self._files.remove_folder(self._folder / folder)
                folder = folder.parent

    def sweep_transient_events(self, before: Micros, limit: int) -> int:
        """Writes each log that has some anew.

        Raises:
            OSError: only some of the logs were swept, or none.
        """
        self._check_folder()
        self._journal.settle()
        swept: dict[Incarnation, list[Any]] = {}
        for event in self._tables.sweepable(before, limit):
            swept.setdefault((event.session, event.session_log_id), []).append(event)
        for incarnation, events in swept.items():
            self._rewrite(incarnation, {event.session_sequence for event in events})
            with self._tables as tables:
                tables.remove_events(events)
        return sum(map(len, swept.values()))

    def _rewrite(self, incarnation: Incarnation, without: set[int]) -> None:
        """Write a log anew without the events of these places."""
        if incarnation not in self._logs or not without:
            return
        log = replace(self._logs[incarnation])
        text = self._files.read(self._folder / log.path)
        text = log.without(text, without)
        self._journal.replace(log.path, text)
        log.end = len(text)
        self._logs[incarnation] = log

    def _logged(
        self, changes: Changes, left: dict[Incarnation, tuple[EventLog, bytes]]
    ) -> list[tuple[EventLog, Operation, int]]:
        """Of each log that changes, what is done to its file, and its length after that."""
        logged: list[tuple[EventLog, Operation, int]] = []
        appended = {
            incarnation: b"".join(lines) for incarnation, lines in event_lines(changes.events).items()
        }
        for incarnation in dict.fromkeys((*appended, *left)):
            text = appended.get(incarnation, b"")
            if incarnation in left:
                log, before = left[incarnation]
                text = before + text
                logged.append((log, Put(log.path, text), len(text)))
                continue
            log = self._logs.get(incarnation) or EventLog(*incarnation)
            if log.end == 0:
                text = log.header + text
            logged.append((log, Append(log.path, log.end, text), log.end + len(text)))
        return logged

    def _rewritten(self, changes: Changes) -> dict[Incarnation, tuple[EventLog, bytes]]:
        """The logs that lose content, each with the text that is left of it."""
        left: dict[Incarnation, tuple[EventLog, bytes]] = {}
        for incarnation, places in rewritten_events(changes).items():
            if incarnation in self._logs:
                self._journal.settle()
                log = replace(self._logs[incarnation])
                text = self._files.read(self._folder / log.path)
                events = self._tables.rewritten(incarnation, places)
                left[incarnation] = log, log.rewritten(text, events)
        return left

    def _forget_journal(self) -> None:
        """What was removed is in the journal still."""
        try:
            self._journal.checkpoint()
        except OSError as error:
            _log.warning("what was removed stays in the journal until that can be cut: %s", error)

    def _puts(self, changes: Changes) -> Iterator[Put]:
        requests = list(self._changed_requests(changes))
        sessions = {record.key: record.head.session for record in requests}
        for kept in KEPT:
            records: list[Any] = requests if kept.table is REQUESTS else changes.put_of(kept.table)
            for record in records:
                path = kept.path(
                    kept.table.key_of(record), lambda key: sessions.get(key) or self._session_of(key)
                )
                yield Put(path, file_text(members_of(record)))

    def _changed_requests(self, changes: Changes) -> Iterator[RequestRecord]:
        """But for those of which only the log has grown: that is found there."""
        for record in self._tables.changed_requests(changes):
            known = self._tables.requests.get(record.key)
            if known is None or known != replace(
                record, head=replace(record.head, sequence=known.head.sequence)
            ):
                yield record

    def _session_of(self, key: RequestKey) -> SessionKey:
        return self._tables.requests[key].head.session
