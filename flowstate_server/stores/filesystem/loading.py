"""Filling the tables from the files when the store is opened."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import OwnerKind
from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestRecord,
    RequestStatus,
    SessionHead,
    SessionRecord,
)
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.tables import (
    PROCESSES,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    Changes,
    Table,
)
from flowstate_server.stores.filesystem import names
from flowstate_server.stores.filesystem.event_log import EventLog, load_log, log_id_of
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.stores.filesystem.journal import TEMPORARY
from flowstate_server.stores.filesystem.kept import KEPT, as_found
from flowstate_server.stores.filesystem.members import Parsed
from flowstate_server.stores.filesystem.records import record_of
from flowstate_server.stores.resident.damage import Damage, Incarnation
from flowstate_server.stores.resident.tables import Tables

T = TypeVar("T")

Sequences = dict[str, list[int]]
"""Of a log's events, by request."""

_log = logging.getLogger(__name__)

_OF_ONE_FILE = (errno.ENOENT, errno.EISDIR, errno.EACCES, errno.EIO)
"""Errors that tell of the file that is read, and of no other."""

_WITH_SESSIONS = (SESSIONS, SESSION_HEADS, REQUESTS)


class Loading:
    """Reads the files after the journal's replay: whatever it does not know of was never committed, and is removed or
    passed over.

    What can't be understood costs no more than itself: it is named in the log and kept, and fails what reads it.
    ``newest_time`` is the newest time that was met.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._damage = Damage(as_found)
        self._found = Changes(Micros(0))
        self.tables = Tables(self._damage)
        self.logs: dict[Incarnation, EventLog] = {}
        self.newest_time = 0

    def load(self) -> None:
        for path in [*self._folder.rglob(f"*{TEMPORARY}")]:
            if path.is_file():
                self._files.remove(path)
        requests: list[RequestRecord] = []
        for path in self._folder.glob("sessions/*/*/session.json"):
            requests += self._load_session(path)
        requests.sort(key=lambda request: (request.head.create_time, request.key))
        self._put(REQUESTS, *requests)
        for kept in KEPT:
            if kept.table not in _WITH_SESSIONS:
                for pattern in kept.patterns:
                    self._put(kept.table, *self._all(kept.table, self._folder.glob(pattern)))
        self.tables.apply(self._found)
        self.newest_time = max(
            (
                *(event.time for event in self._found.events),
                *(head.activity_time for head in self.tables.session_heads.values()),
                *(process.renew_time for process in self.tables.processes.values()),
            ),
            default=0,
        )
        self._found = Changes(Micros(0))
        self._note_replaced()

    def _note_replaced(self) -> None:
        """Incarnations of which something is left though their session was made anew."""
        tables = self.tables
        owners = {
            key.owner for key in tables.documents.keys_after(None) if key.owner.kind is OwnerKind.SESSION
        }
        owned = {(SessionKey(owner.tenant, owner.id), owner.incarnation) for owner in owners}
        for session, log_id in owned | tables.incarnations():
            present = tables.sessions.get(session)
            if present is not None and present.log_id != log_id:
                tables.deleted.left[session, log_id] = present.create_time

    def _put(self, table: Table[Any, Any], *records: Any) -> None:
        self._found.new.setdefault(table, []).extend(records)

    def _all(self, table: Table[Any, T], paths: Iterator[Path]) -> Iterator[T]:
        for path in paths:
            record = self._read(path, table.record)
            if record is not None:
                yield record
            elif table is PROCESSES:
                yield _expired(path)  # type: ignore[misc]
            else:
                self._put_damaged(table, path)

    def _read(self, path: Path, kind: type[T]) -> T | None:
        try:
            return record_of(kind, Parsed(self._files.read(path)))
        except (LookupError, TypeError, ValueError) as error:
            _log.error("%s is damaged, what is kept there is not served: %s", path, error)
        except OSError as error:
            if error.errno not in _OF_ONE_FILE:
                raise
            _log.error("what is kept in %s is not served: %s", path, error)
        return None

    def _put_damaged(self, table: Table[Any, Any], path: Path) -> None:
        file = PurePosixPath(path.relative_to(self._folder).as_posix())
        try:
            self._damage.put(table, names.key_at(file), f"{file} was damaged when the store was opened")
        except ValueError:
            _log.error("%s has no place here and is passed over", path)

    def _load_session(self, path: Path) -> list[RequestRecord]:
        files = path.parent.glob("requests/*/request.json")
        session = self._read(path, SessionRecord)
        head = self._read(path.with_name("counters.json"), SessionHead)
        if session is None or head is None:
            self._put_damaged(SESSIONS, path)
            for file in files:
                self._put_damaged(REQUESTS, file)
            return []
        self._put(SESSIONS, session)
        self._put(SESSION_HEADS, head)
        requests = [*self._all(REQUESTS, files)]
        sequences: dict[str, Sequences] = {}
        gone = {one.head.key.request_id for one in requests if one.head.status is RequestStatus.REMOVED}
        log_ids = {session.log_id, *(request.head.session_log_id for request in requests)}
        known = {names.log_path(session.key, log_id).name for log_id in log_ids}
        others = (file for file in path.parent.glob("events-*.jsonl") if file.name not in known)
        log_ids |= {log_id for file in others if (log_id := log_id_of(file))}
        for log_id in log_ids:
            newest = head.sequence if log_id == session.log_id else None
            cut = _Cut(head.floor if log_id == session.log_id else 0, gone)
            sequences[log_id] = self._load_log(session.key, log_id, newest, cut)
        return [
            self._at_its_newest(
                request, sequences[request.head.session_log_id].get(request.head.key.request_id)
            )
            for request in requests
        ]

    def _load_log(self, session: SessionKey, log_id: str, newest: int | None, cut: _Cut) -> Sequences:
        """Events beyond ``newest`` were never committed; of an older incarnation all were. What was cut off was left in
        the file by a process that did not come to write it anew."""
        log = EventLog(session, log_id)
        loaded = load_log(self._folder, self._files, log, newest)
        if log.end:
            self.logs[session, log_id] = log
        if loaded.damaged:
            self._damage.lines[session, log_id] = loaded.damaged
        left = {event.session_sequence for event in loaded.events if cut.takes(event)}
        if left:
            path = self._folder / log.path
            text = log.without(self._files.read(path), left)
            temporary = path.with_name(path.name + TEMPORARY)
            self._files.write(temporary, text)
            self._files.sync(temporary)
            self._files.rename(temporary, path)
            log.end = len(text)
        events = [event for event in loaded.events if event.session_sequence not in left]
        self._found.events += events
        sequences: Sequences = {}
        for event in events:
            sequences.setdefault(event.request_id, []).append(event.sequence)
        return sequences

    def _at_its_newest(self, request: RequestRecord, sequences: list[int] | None) -> RequestRecord:
        """A running request's file is not written for every event: its newest one is found in the log."""
        head = request.head
        newest = sequences[-1] if sequences else 0
        damaged = self._damage.lines.get((head.session, head.session_log_id), {})
        if head.status.open:
            newest += len(
                damaged
            )  # any of them may have been its newest, and its sequence must not be given again
        head = replace(head, sequence=max(head.sequence, newest))
        if damaged and len(sequences or ()) != head.sequence:
            path = names.log_path(head.session, head.session_log_id)
            self._damage.incomplete[head.key] = (
                f"{path} has damaged lines, and events of the request are missing"
            )
        return replace(request, head=head)


class _Cut(NamedTuple):
    """What was removed of a session's history: events outside of requests up to ``floor``, and ``requests``."""

    floor: int
    requests: set[str]

    def takes(self, event: EventRecord) -> bool:
        return event.request_id in self.requests if event.request_id else event.session_sequence <= self.floor


def _expired(path: Path) -> ProcessRecord:
    """For one whose record is damaged. The folder serves one process: it is gone, and its requests are to end."""
    return ProcessRecord(names.id_of(path.stem), lease=Micros(0), renew_time=Micros(0))
