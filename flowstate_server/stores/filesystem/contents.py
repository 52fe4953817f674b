"""Reading records from the files that the tables point to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
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


class Contents:
    """Whole records: what the tables know and what the files hold. Used on the store's thread.

    Raises:
        OSError: a file can't be read.
        ValueError: it is damaged.
    """

    def __init__(self, folder: Path, files: Files, tables: Tables) -> None:
        self._folder = folder
        self._files = files
        self.tables = tables

    def document(self, path: PurePosixPath) -> Document:
        return Document(self._files.read(self._folder / path))

    def session(self, key: SessionKey) -> SessionRecord | None:
        if key not in self.tables.sessions:
            return None
        return records.session_record(self.document(names.session_path(key)))

    def request(self, key: RequestKey) -> RequestRecord | None:
        head = self.tables.requests.get(key)
        if head is None:
            return None
        return records.request_record(self.document(names.request_path(head.session, key)), head)

    def state(self, key: ScopeKey) -> StateRecord | None:
        if key not in self.tables.states:
            return None
        return records.state_record(self.document(self.state_path(key)))

    def state_path(self, key: ScopeKey) -> PurePosixPath:
        request = None
        if key.kind is ScopeKind.REQUEST:
            request = self.tables.requests.get(RequestKey(key.tenant, key.id))
        return names.state_path(key, None if request is None else request.session)

    def idempotency_key(self, key: IdempotencyKey) -> IdempotencyRecord | None:
        if key not in self.tables.keys:
            return None
        return records.key_record(self.document(names.key_path(key)))

    def lines(self, log: EventLog, places: Iterable[int]) -> Iterator[bytes]:
        return self._files.read_spans(self._folder / log.path, log.spans(places))

    def events(self, log: EventLog, places: Iterable[int]) -> Iterator[EventRecord]:
        for line in self.lines(log, places):
            yield records.event_record(Document(line), log.session, log.log_id)
