"""Judging what a store keeps: whether its records fit each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flowstate_server.model import journal
from flowstate_server.model.blobs import BlobHead
from flowstate_server.model.documents import Document, Owner, OwnerKind
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.json_values import decode_json
from flowstate_server.model.records import (
    ProcessRecord,
    RequestRecord,
    RequestStatus,
    SessionHead,
    SessionRecord,
    StateRecord,
    TurnRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKind, SessionKey
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.blobs import BlobPieces
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.contract.tables import Table
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer.blobs import blob_problems, complete_blobs
from flowstate_server.stores.transfer.comparison import exports_of
from flowstate_server.stores.transfer.naming import named
from flowstate_server.stores.transfer.pages import rows
from flowstate_server.stores.transfer.resource_check import ResourceCheck

UNREADABLE = "what is stored can't be understood"


REPORTED_ROWS = 200
"""So many records are looked at between two reports."""

Report = Callable[[str, int], None]
"""Hears of a table, and how many of its records have been looked at."""


def silently(table: str, records: int) -> None:
    """Report nothing."""


async def check_store(
    store: Store, *, blobs: BlobPieces | None = None, report: Report = silently
) -> AsyncIterator[str]:
    """What is wrong with the store, one line each, by kind and key, never by value. None: its records fit each other.

    Looked at: that records can be understood, the order of every log, its end and its head, requests and the sessions
    and processes they name, turns, journals, resources and their counters, that states and documents are JSON, with
    versions, and the content of blobs: in the slot for them, if given, else in the store itself. One damaged record
    may cause more than one line: what it would have to fit is found alone.

    ``report`` hears now and then how far it is.

    Raises:
        TypeError: the store does not export.
    """
    check = _Check()
    exports = exports_of(store)
    damaged: list[DamagedRecord] = []
    subjects: tuple[tuple[Table[Any, Any], Callable[[Any], Iterator[str]]], ...] = (
        (tables.PROCESSES, check.process),
        (tables.SESSIONS, check.session),
        (tables.SESSION_HEADS, check.session_head),
        (tables.EVENTS, check.event),
        (tables.REQUESTS, check.request),
        (tables.TURNS, check.turn),
        (tables.STATES, check.state),
        (tables.DOCUMENTS, check.document),
    )
    for table, problems_with in subjects:
        looked_at = 0
        async for record in rows(exports, table, damaged.append):
            if not looked_at % REPORTED_ROWS:
                report(table.name, looked_at)
            looked_at += 1
            for problem in problems_with(record):
                yield problem
    for damage in damaged:
        if isinstance(damage.key, RequestKey):
            check.logs.pop(damage.key, None)
        yield f"{named(damage.key)}: {UNREADABLE}"
    for key in check.logs:
        yield f"{named(key)}: has events but no record"
    for problem in check.journal_problems():
        yield problem
    for problem in check.resources.problems(check.blobs):
        yield problem
    async for problem in blob_problems(blobs or store.pieces, check.blobs):
        yield problem


@dataclass(slots=True)
class _Log:
    """What was seen of a request's log: its newest event, and how many of them end it."""

    newest: int = 0
    ends: int = 0


@dataclass(slots=True)
class _Journal:
    """What was seen of a session's journal: entries, the number of the newest, and what its counter says."""

    entries: int = 0
    newest: int = 0
    counted: int = 0


@dataclass(slots=True)
class _Check:
    """What was seen so far. Each method gives what is wrong with one more record."""

    processes: set[str] = field(default_factory=set)
    sessions: set[SessionKey] = field(default_factory=set)
    deleted: set[SessionKey] = field(default_factory=set)
    """Of which only some may be left."""
    heads: dict[SessionKey, SessionHead] = field(default_factory=dict)
    logs: dict[RequestKey, _Log] = field(default_factory=dict)
    completed: set[RequestKey] = field(default_factory=set)
    newest: dict[SessionKey, int] = field(default_factory=dict)
    blobs: list[BlobHead] = field(default_factory=list)
    journals: dict[Owner, _Journal] = field(default_factory=dict)
    resources: ResourceCheck = field(default_factory=ResourceCheck)

    def process(self, record: ProcessRecord) -> Iterator[str]:
        self.processes.add(record.process)
        return iter(())

    def session(self, record: SessionRecord) -> Iterator[str]:
        self.sessions.add(record.key)
        if record.deleted:
            self.deleted.add(record.key)
        return iter(())

    def session_head(self, head: SessionHead) -> Iterator[str]:
        self.heads[head.key] = head
        if head.key not in self.sessions:
            yield f"{named(head.key)}: has counters but no record"

    def event(self, record: EventRecord) -> Iterator[str]:
        for problem in self._event_problems(record):
            yield f"{named(record.session)}: {problem}"

    def _event_problems(self, record: EventRecord) -> Iterator[str]:
        newest = self.newest.get(record.session, 0)
        if record.session_sequence <= newest:
            yield f"event {record.session_sequence} comes after event {newest}"
        self.newest[record.session] = record.session_sequence
        head = self.heads.get(record.session)
        if head is not None and head.sequence < record.session_sequence:
            yield f"its log goes to {record.session_sequence}, its counter only to {head.sequence}"
        if record.request_id:
            yield from self._log_problems(record)
        elif record.sequence:
            yield f"event {record.session_sequence} is of a request that is not there"
        event = record.event
        if event.type is EventType.ITEM_DONE and event.item is None and not event.transient:
            yield f"event {record.session_sequence} has lost its item"
        if not _is_json(record.event.payload):
            yield f"event {record.session_sequence} holds no JSON"

    def _log_problems(self, record: EventRecord) -> Iterator[str]:
        log = self.logs.setdefault(RequestKey(record.session.tenant, record.request_id), _Log())
        if record.sequence <= log.newest:
            yield f"event {record.sequence} of request {record.request_id} comes after {log.newest}"
        if log.ends:
            yield f"request {record.request_id} goes on after its end"
        log.newest = record.sequence
        log.ends += record.event.type.terminal

    def request(self, request: RequestRecord) -> Iterator[str]:
        if request.head.status in (RequestStatus.COMPLETED, RequestStatus.REMOVED):
            self.completed.add(request.key)
        for problem in self._request_problems(request, self.logs.pop(request.key, _Log())):
            yield f"{named(request.key)}: {problem}"

    def _request_problems(self, request: RequestRecord, log: _Log) -> Iterator[str]:
        head = request.head
        if head.session not in self.sessions:
            yield "its session is missing"
        if head.session in self.deleted or head.status is RequestStatus.REMOVED:
            return
        if log.newest > head.sequence:
            yield f"its log goes to {log.newest}, its counter only to {head.sequence}"
        if head.status.ended:
            if not log.ends or log.newest != head.sequence:
                yield "it has ended, its log has not"
        elif log.ends:
            yield "its log has ended, it has not"
        elif head.process and head.process not in self.processes:
            yield "it runs on a process that is not there"
        # One whose items were all removed has no input any more.
        if any(text and not _is_json(text) for text in (request.input, request.output)):
            yield "its input or output is no JSON"

    def turn(self, turn: TurnRecord) -> Iterator[str]:
        key = turn.key
        head = self.heads.get(key.session)
        if head is None:
            yield f"{named(key)}: its session is missing"
        elif key.number > head.turns:
            yield f"{named(key.session)}: has turn {key.number}, its counter goes only to {head.turns}"
        request = RequestKey(key.session.tenant, turn.request_id)
        if turn.request_id and request not in self.completed:
            yield f"{named(key)}: it is of a request that has not completed"

    def state(self, state: StateRecord) -> Iterator[str]:
        if state.version < 1:
            yield f"{named(state.key)}: it has no version"
        try:
            if not isinstance(decode_json(state.text), dict):
                yield f"{named(state.key)}: it is no JSON object"
        except ValueError:
            yield f"{named(state.key)}: it is no JSON"
        session = SessionKey(state.key.tenant, state.key.id)
        if state.key.kind is ScopeKind.SESSION and session not in self.sessions:
            yield f"{named(state.key)}: its session is missing"

    def document(self, document: Document) -> Iterator[str]:
        if document.version < 1:
            yield f"{named(document.key)}: it has no version"
        if document.present and not _is_json(document.text):
            yield f"{named(document.key)}: it is no JSON"
        elif document.present:
            self._note_journal(document)
            self.resources.note(document)
        self.blobs += complete_blobs((document,))
        owner = document.key.owner
        if owner.kind is OwnerKind.SESSION and SessionKey(owner.tenant, owner.id) not in self.sessions:
            yield f"{named(document.key)}: its session is missing"

    def _note_journal(self, document: Document) -> None:
        if document.key.kind == journal.ENTRY:
            seen = self.journals.setdefault(document.key.owner, _Journal())
            seen.entries += 1
            seen.newest = journal.entry_number(document.key)
        elif document.key.kind == journal.COUNTER:
            self.journals.setdefault(document.key.owner, _Journal()).counted = journal.decode_count(document)

    def journal_problems(self) -> Iterator[str]:
        for owner, seen in self.journals.items():
            if not seen.entries == seen.newest == seen.counted:
                yield (
                    f"{named(SessionKey(owner.tenant, owner.id))}: its journal counts {seen.counted} entries, "
                    f"there are {seen.entries}, the newest is number {seen.newest}"
                )


def _is_json(text: bytes) -> bool:
    try:
        decode_json(text)
    except ValueError:
        return False
    return True
