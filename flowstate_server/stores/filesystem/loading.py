"""Filling the tables from the files when the store is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from os import SEEK_END
from pathlib import Path
from typing import TypeVar

from flowstate_server.errors import StoreOpenError
from flowstate_server.model.records import RequestHead, SessionRecord
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.filesystem import names, records
from flowstate_server.stores.filesystem.documents import Document
from flowstate_server.stores.filesystem.event_log import EventLog, EventPlace, written_place
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.stores.filesystem.journal import TEMPORARY
from flowstate_server.stores.filesystem.tables import Tables

T = TypeVar("T")


def load_tables(folder: Path, files: Files) -> Tables:
    """After the journal's replay: whatever it does not know of was never committed, and is removed or passed over.

    Raises:
        StoreOpenError: a file is damaged.
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
        for session in self._all("sessions/*/*/session.json", records.session_record):
            heads += self._load_session(session)
        for head in sorted(heads, key=lambda head: (head.create_time, head.key)):
            tables.put_request(self._at_newest_event(head))
        for pattern in ("sessions/*/*/state.json", "users/*/*.json", "orgs/*/*.json"):
            self._load_states(pattern)
        self._load_states("sessions/*/*/requests/*/state.json")
        for process in self._all("processes/*.json", records.process_record):
            tables.processes[process.process] = process
        for key in self._all("idempotency_keys/*/*/*/*.json", records.key_record):
            tables.put_key(key)
        return tables

    def _all(self, pattern: str, record_of: Callable[[Document], T]) -> Iterator[T]:
        for path in self._folder.glob(pattern):
            yield self._read(path, record_of)

    def _read(self, path: Path, record_of: Callable[[Document], T]) -> T:
        try:
            return record_of(Document(self._files.read(path)))
        except (ValueError, TypeError) as error:
            raise _damaged(path, error) from error

    def _load_states(self, pattern: str) -> None:
        for head in self._all(pattern, records.state_head):
            self._tables.states[head.key] = head

    def _load_session(self, session: SessionRecord) -> list[RequestHead]:
        tables = self._tables
        tables.put_session(session)
        counters = self._folder / names.counters_path(session.key)
        counted = self._read(counters, records.session_head)
        tables.session_heads[session.key] = counted
        requests = self._folder / names.session_folder(session.key) / "requests"
        heads = [self._read(path, records.request_head) for path in requests.glob("*/request.json")]
        for log_id in {session.log_id, *(head.session_log_id for head in heads)}:
            self._load_log(session.key, log_id, counted.sequence if log_id == session.log_id else None)
        return heads

    def _load_log(self, session: SessionKey, log_id: str, newest: int | None) -> None:
        """Events beyond ``newest`` were never committed; of an older incarnation all were."""
        path = self._folder / names.log_path(session, log_id)
        if not path.exists():
            return
        log = EventLog(session, log_id)
        torn = last = 0
        with path.open("rb") as file:
            header = file.readline()
            log.begin(len(header))
            log.swept = _swept(header)
            for number, line in enumerate(file, start=2):
                place = _place(line)
                if place is None:
                    torn = torn or number
                elif newest is not None and place.session_sequence > newest:
                    break
                elif torn:
                    raise _damaged(path, f"line {torn}")
                else:
                    self._tables.logs[session, log_id] = log
                    self._tables.add_event(session, log_id, place)
                    last = place.session_sequence
            whole = file.seek(0, SEEK_END) == log.end
        if torn and (newest is None or max(last, log.swept) < newest):
            raise _damaged(path, f"line {torn}")
        if log.swept:
            self._tables.logs[session, log_id] = log
        if (last or log.swept) and not whole:
            self._files.write_at(path, log.end, b"")

    def _at_newest_event(self, head: RequestHead) -> RequestHead:
        """A running request's file is not written for every event."""
        places = self._tables.places.get(head.key)
        newest = places.sequences[-1] if places is not None and places.sequences else 0
        return replace(head, sequence=max(head.sequence, newest))


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


def _damaged(path: Path, why: object) -> StoreOpenError:
    return StoreOpenError(problem=f"{path} is damaged: {why}")
