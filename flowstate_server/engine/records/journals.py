"""Journals of sessions: appending notes, and reading them from either end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowstate_server.engine.bindings import Bindings
from flowstate_server.engine.calls.journals import (
    JournalAppend,
    JournalAppended,
    JournalPage,
    JournalQuery,
    NewNote,
)
from flowstate_server.engine.records.journal_fields import checked_note
from flowstate_server.engine.records.page_token import PageTokens, page_size
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    PageTokenInvalidError,
    SessionNotFoundError,
    StoreUnavailableError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.model.clock import Micros, micros
from flowstate_server.model.documents import Document, DocumentRange
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.journal import (
    COUNTER,
    JournalRecord,
    Note,
    counter_key,
    decode_count,
    decode_entry,
    entry_number,
    journal_range,
)
from flowstate_server.model.json_values import Json
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.document_writes import AppendJournal
from flowstate_server.stores.contract.pages import those_understood
from flowstate_server.stores.contract.writes import (
    CommitResult,
    PutIdempotencyKey,
    SessionChanged,
    Write,
)
from flowstate_server.stores.store import Store

# Attempts. Each is lost only when the session was deleted and made anew just then, so a second is hardly ever needed.
RACES = 5
# Notes: the most that a page has by default, so that a store is asked once for a page.
READ_AT_ONCE = 500
PAGE_BYTES = 1 << 20


class Journals:
    def __init__(self, store: Store, bindings: Bindings, settings: EngineSettings) -> None:
        self._store = store
        self._bindings = bindings
        self._settings = settings
        self._tokens = PageTokens(settings.page_token_key)

    async def append(self, principal: Principal, append: JournalAppend) -> JournalAppended:
        """All notes, in their order and without another between them, or none."""
        notes = self._checked(append.notes)
        remembered = self._remembered(principal, append)
        for _ in range(RACES):
            binding = await self._bindings.owned(principal, append.session_id)
            write = AppendJournal(binding.key, binding.log_id, notes)
            try:
                return _appended(await self._store.commit((*remembered, write)))
            except SessionChanged:
                self._bindings.forget(binding.key)
        raise StoreUnavailableError

    async def list(self, principal: Principal, query: JournalQuery) -> JournalPage:
        """A page, oldest or newest first, behind the one that the token is of, whatever was appended meanwhile."""
        size = page_size(query.page_size, self._settings)
        for _ in range(RACES):
            binding = await self._bindings.owned(principal, query.session_id)
            key, log_id = binding.key, binding.log_id
            bound: Json = ["journal", key.tenant, key.session_id, log_id, query.newest_first]
            beyond = self._position(bound, query.page_token) if query.page_token else None
            which = journal_range(key, log_id, limit=size, newest_first=query.newest_first, beyond=beyond)
            documents = await _read(self._store, which, self._settings.max_page_bytes)
            # Behind the page: what a session deleted meanwhile had is shown to nobody.
            counter = counter_key(key, log_id)
            read = await self._store.read_projection(key, (), (counter,))
            if read is None:
                self._bindings.forget(key)
                raise SessionNotFoundError(query.session_id)
            if read.session.log_id == log_id:
                last = 1 if query.newest_first else decode_count(read.documents.get(counter))
                token = ""
                if documents and (position := entry_number(documents[-1].key)) != last:
                    token = self._tokens.make(bound, position)
                return JournalPage(_records(documents), token)
            self._bindings.forget(key)
        raise StoreUnavailableError

    def _checked(self, notes: Sequence[NewNote]) -> tuple[Note, ...]:
        if not 1 <= len(notes) <= self._settings.max_ops:
            problem = f"must be 1 to {self._settings.max_ops} entries"
            raise ValidationFailedError((Violation("entries", "range", problem),))
        limit = self._settings.max_item_bytes
        return tuple([checked_note(note, f"entries[{place}]", limit) for place, note in enumerate(notes)])

    def _remembered(self, principal: Principal, append: JournalAppend) -> tuple[Write, ...]:
        check_id("idempotency_key", append.idempotency_key, required=False)
        if not append.idempotency_key:
            return ()
        key = IdempotencyKey(principal.tenant, principal.key, "AppendJournal", append.idempotency_key)
        return (PutIdempotencyKey(key, append.fingerprint, micros(self._settings.idempotency_window)),)

    def _position(self, bound: Json, token: str) -> int:
        position = self._tokens.read(bound, token)
        if not isinstance(position, int):
            raise PageTokenInvalidError
        return position


async def newest_entries(
    store: Store, session: SessionKey, log_id: str, limit: int
) -> Sequence[JournalRecord]:
    """The newest ``limit`` entries, oldest first, in as many reads as they need."""
    documents: list[Document] = []
    beyond: int | None = None
    while len(documents) < limit and beyond != 1:
        left = min(limit - len(documents), READ_AT_ONCE)
        which = journal_range(session, log_id, limit=left, newest_first=True, beyond=beyond)
        page = await _read(store, which)
        if not page:
            break
        documents += page
        beyond = entry_number(page[-1].key)
    documents.reverse()
    return _records(documents)


async def _read(store: Store, which: DocumentRange, max_bytes: int = PAGE_BYTES) -> Sequence[Document]:
    """A page of entries, which is empty only if there is none left. A store leaves out those whose keys are damaged,
    which may be all of a page."""
    documents = await store.read_documents(which, max_bytes=max_bytes)
    if documents:
        return documents
    counter = await store.read_documents(replace(which, kind=COUNTER, limit=1, beyond=None))
    limit, count = which.limit, decode_count(counter[0] if counter else None)
    while not documents and limit < count:
        limit *= 8
        documents = await store.read_documents(replace(which, limit=limit), max_bytes=max_bytes)
    return documents[: which.limit]


def _records(documents: Sequence[Document]) -> Sequence[JournalRecord]:
    """The entries; one that is damaged takes no other with it."""
    return list(those_understood(documents, lambda document: document.key, decode_entry))


def _appended(result: CommitResult) -> JournalAppended:
    written = result.results[-1]
    if result.replayed:
        return JournalAppended(
            [JournalRecord(Note(id, ""), 0, Micros(0)) for id in written.ids], replayed=True
        )
    return JournalAppended([decode_entry(document) for document in written.documents], replayed=False)
