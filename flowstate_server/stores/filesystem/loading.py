"""Filling the tables from the files when the store is opened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from os import SEEK_END
from pathlib import Path, PurePosixPath
from typing import TypeVar

from flowstate_server.model.records import ProcessRecord, RequestHead
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.filesystem import names, records
from flowstate_server.stores.filesystem.documents import Document
from flowstate_server.stores.filesystem.event_log import EventLog, EventPlace, written_place
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.stores.filesystem.journal import TEMPORARY
from flowstate_server.stores.filesystem.tables import Tables

T = TypeVar("T")

_log = logging.getLogger(__name__)


def load_tables(folder: Path, files: Files) -> Tables:
    """After the journal's replay: whatever it does not know of was never committed, and is removed or passed over.

    What can't be understood costs no more than itself: it is named in the log and kept, and fails what reads it.
    """
    return _Loading(folder, files).load()


class _Loading:
    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._tables = Tables()

    def load(self) -> Tables:
        tables = self._tables
        for path in [*self._folder.rglob(f"*{TEMPORARY}")]:
            if path.is_file():
                self._files.remove(path)
        heads: list[RequestHead] = []
        for path in self._folder.glob("sessions/*/*/session.json"):
            heads += self._load_session(path)
        for head in sorted(heads, key=lambda head: (head.create_time, head.key)):
            self._load_request(head)
        for pattern in ("sessions/*/*/state.json", "users/*/*.json", "orgs/*/*.json"):
            self._load_states(pattern)
        self._load_states("sessions/*/*/requests/*/state.json")
        for path in self._folder.glob("processes/*.json"):
            process = self._read(path, records.process_record) or _expired(path)
            tables.processes[process.process] = process
        for key in self._all("idempotency_keys/*/*/*/*.json", records.key_record):
            tables.put_key(key)
        return tables

    def _all(self, pattern: str, record_of: Callable[[Document], T]) -> Iterator[T]:
        return self._all_of(self._folder.glob(pattern), record_of)

    def _all_of(self, paths: Iterable[Path], record_of: Callable[[Document], T]) -> Iterator[T]:
        for path in paths:
            record = self._read(path, record_of)
            if record is None:
                self._put_damaged(path)
            else:
                yield record

    def _read(self, path: Path, record_of: Callable[[Document], T]) -> T | None:
        try:
            return record_of(Document(self._files.read(path)))
        except (LookupError, TypeError, ValueError) as error:
            _log.error("%s is damaged, what is kept there is not served: %s", path, error)
        except FileNotFoundError:
            _log.error("%s is missing", path)
        return None

    def _put_damaged(self, path: Path) -> None:
        file = PurePosixPath(path.relative_to(self._folder).as_posix())
        self._tables.damaged[names.key_at(file)] = file

    def _load_states(self, pattern: str) -> None:
        for head in self._all(pattern, records.state_head):
            self._tables.states[head.key] = head

    def _load_session(self, path: Path) -> list[RequestHead]:
        tables = self._tables
        requests = [*path.parent.glob("requests/*/request.json")]
        session = self._read(path, records.session_record)
        counted = self._read(path.with_name(names.COUNTERS), records.session_head)
        if session is None or counted is None:
            for damaged in (path, *requests):
                self._put_damaged(damaged)
            return []
        tables.put_session(session)
        tables.session_heads[session.key] = counted
        heads = [*self._all_of(requests, records.request_head)]
        for log_id in {session.log_id, *(head.session_log_id for head in heads)}:
            self._load_log(session.key, log_id, counted.sequence if log_id == session.log_id else None)
        return heads

    def _load_log(self, session: SessionKey, log_id: str, newest: int | None) -> None:
        """Events beyond ``newest`` were never committed; of an older incarnation all were."""
        path = self._folder / names.log_path(session, log_id)
        if not path.exists():
            return
        log = EventLog(session, log_id)
        last = 0
        broken: list[bytes] = []  # lines since the last whole one
        with path.open("rb") as file:
            header = file.readline()
            log.begin(len(header))
            log.swept = _swept(header)
            for line in file:
                place = _place(line)
                if place is None:
                    broken.append(line)
                elif newest is not None and place.session_sequence > newest:
                    break
                else:
                    self._put_holes(log, path, broken)
                    self._tables.logs[session, log_id] = log
                    self._tables.add_event(session, log_id, place)
                    last = place.session_sequence
                    broken = []
            length = file.seek(0, SEEK_END)
        missing = len(broken) if newest is None else max(0, newest - max(last, log.swept))
        self._put_holes(log, path, broken[:missing])
        if log.swept or log.holes:
            self._tables.logs[session, log_id] = log
        if (last or log.swept or log.holes) and length != log.end:
            self._files.write_at(path, log.end, b"")

    def _put_holes(self, log: EventLog, path: Path, lines: list[bytes]) -> None:
        for line in lines:
            if not line.endswith(b"\n"):  # or the next event would be appended to it
                self._files.write_at(path, log.end + len(line), b"\n")
                line += b"\n"
            log.add_hole(len(line))
            _log.error("%s has a damaged line, of an event near %d", path, log.places[-1])

    def _load_request(self, head: RequestHead) -> None:
        """A running request's file is not written for every event: its newest one is found in the log."""
        tables = self._tables
        places = tables.places.get(head.key)
        newest = places.sequences[-1] if places is not None and places.sequences else 0
        holes = tables.log(head.session, head.session_log_id).holes
        if holes and not head.status.ended:
            newest += holes  # any of them may have been its newest, and its sequence must not be given again
        head = replace(head, sequence=max(head.sequence, newest))
        tables.put_request(head)
        if holes and (places is None or len(places.sequences) != head.sequence):
            tables.incomplete.add(head.key)


def _swept(header: bytes) -> int:
    """The newest event that a sweep took out of the log, which its first line tells; 0 for none."""
    try:
        swept: int = Document(header).get("swept", 0)
    except ValueError:
        return 0
    return swept


def _place(line: bytes) -> EventPlace | None:
    try:
        return written_place(Document(line), len(line)) if line.endswith(b"\n") else None
    except ValueError:
        return None


def _expired(path: Path) -> ProcessRecord:
    """For one whose record is damaged. The folder serves one process: it is gone, and its requests are to end."""
    return ProcessRecord(names.id_of(path.stem), lease=0, renew_time=0)
