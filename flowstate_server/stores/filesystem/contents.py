"""Reading records from the files that the tables point to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.stores.filesystem import names, records
from flowstate_server.stores.filesystem.documents import Document
from flowstate_server.stores.filesystem.event_log import EventLog
from flowstate_server.stores.filesystem.files import Files
from flowstate_server.stores.filesystem.tables import Tables

Record = TypeVar("Record")


class Contents:
    """Whole records: what the tables know and what the files hold. Used on the store's thread.

    Raises:
        OSError: a file can't be read.
        ValueError: it is damaged, or was when the store was opened; names it.
    """

    def __init__(self, folder: Path, files: Files, tables: Tables) -> None:
        self._folder = folder
        self._files = files
        self.tables = tables

    def session(self, key: SessionKey) -> SessionRecord | None:
        if key not in self.tables.sessions:
            self._check_absent(key)
            return None
        return self._record(names.session_path(key), records.session_record)

    def request_head(self, key: RequestKey) -> RequestHead | None:
        head = self.tables.requests.get(key)
        if head is None:
            self._check_absent(key)
        return head

    def request(self, key: RequestKey) -> RequestRecord | None:
        head = self.request_head(key)
        if head is None:
            return None
        path = names.request_path(head.session, key)
        return self._record(path, lambda found: records.request_record(found, head))

    def state(self, key: ScopeKey) -> StateRecord | None:
        if key not in self.tables.states:
            self._check_absent(key)
            return None
        return self._record(self.state_path(key), records.state_record)

    def state_path(self, key: ScopeKey) -> PurePosixPath:
        request = None
        if key.kind is ScopeKind.REQUEST:
            request = self.tables.requests.get(RequestKey(key.tenant, key.id))
        return names.state_path(key, None if request is None else request.session)

    def idempotency_key(self, key: IdempotencyKey) -> IdempotencyRecord | None:
        if key not in self.tables.keys:
            self._check_absent(key)
            return None
        return self._record(names.key_path(key), records.key_record)

    def _check_absent(self, key: names.Key) -> None:
        path = self.tables.damaged_at(key)
        if path is not None:
            raise ValueError(f"{path} was damaged when the store was opened")

    def _record(self, path: PurePosixPath, record_of: Callable[[Document], Record]) -> Record:
        text = self._files.read(self._folder / path)
        try:
            return record_of(Document(text))
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged") from error

    def lines(self, log: EventLog, places: Iterable[int]) -> Iterator[bytes]:
        return self._files.read_spans(self._folder / log.path, log.spans(places))

    def events(self, log: EventLog, places: Iterable[int]) -> Iterator[EventRecord]:
        for line in self.lines(log, places):
            try:
                yield records.event_record(Document(line), log.session, log.log_id)
            except (LookupError, TypeError, ValueError) as error:
                raise ValueError(f"a line of {log.path} is damaged") from error
