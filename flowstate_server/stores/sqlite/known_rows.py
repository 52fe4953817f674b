"""Rows that the last groups have read or written, so that the next one need not read them again.

They hold as long as no other connection writes; SQLite counts that in ``data_version``, which every group asks for in
its transaction. Reading a row costs little by itself, but each statement hands the interpreter's lock to the event
loop, and waits to get it back.
"""

from __future__ import annotations

import sqlite3
from dataclasses import fields
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from flowstate_server.model.documents import Document, DocumentKey
from flowstate_server.model.records import ProcessRecord, RequestHead, SessionHead, StateHead, StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey, request_scope
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Changes, Loaded
from flowstate_server.stores.tables.numbers import Row
from flowstate_server.stores.tables.rows import Numbers
from flowstate_server.stores.tables.state_parts import LargeStates

Record = TypeVar("Record")

MOST_ROWS = 10_000
"""More than the sessions, requests and states that one process serves at a time. All are forgotten beyond it."""
MOST_BYTES = 8 * 1024 * 1024
"""Of states and documents, which may be as large as 1 MiB each."""


class KnownSession(NamedTuple):
    """The number of its log, the columns ``SESSION``, and its head."""

    log: int
    row: Row
    head: SessionHead


class KnownRequest(NamedTuple):
    """A request's head, and the integers that stand for it and for its session's log."""

    number: int
    log: int
    head: RequestHead


class Known(NamedTuple, Generic[Record]):
    """A record, and the integer that stands for it."""

    number: int
    record: Record


class KnownRows:
    """Rows, or records in which nothing can be changed: what a caller was handed does not change what is known.
    ``None`` stands for a row that is not there. Large states are remembered by version, whoever else writes.

    Sweeps delete none of them but processes that are fenced, which makes no difference to a group (a document that
    expires is not kept), and what is known of deleted sessions and removed requests, with which they forget everything.
    """

    def __init__(self) -> None:
        self.sessions: dict[SessionKey, KnownSession] = {}
        self.requests: dict[RequestKey, KnownRequest] = {}
        self.states: dict[ScopeKey, Known[StateRecord] | None] = {}
        self.state_heads: dict[ScopeKey, Known[StateHead] | None] = {}
        self.processes: dict[str, ProcessRecord] = {}
        self.documents: dict[DocumentKey, Known[Document]] = {}
        self._all: tuple[dict[Any, Any], ...] = (
            self.sessions,
            self.requests,
            self.states,
            self.state_heads,
            self.processes,
            self.documents,
        )
        self.large = LargeStates()
        self._bytes = 0
        self._data_version = -1
        self._settled = False

    def begin(self, cursor: sqlite3.Cursor) -> bool:
        """Forget everything if it may not hold any more; the first thing in a group's transaction.

        Tells whether another connection may have written.
        """
        (version,) = cursor.execute("PRAGMA data_version").fetchone()
        others = not self._settled or version != self._data_version
        if not self._settled:
            self.large.clear()
        if others or self._bytes > MOST_BYTES or sum(map(len, self._all)) > MOST_ROWS:
            self.forget()
        self._data_version = version
        self._settled = False
        return others

    def forget(self) -> None:
        """Forget everything. Like all else that uses what is known, on the thread that writes."""
        for known in self._all:
            known.clear()
        self._bytes = 0

    def settle(self) -> None:
        """The group is committed. One that is not, or not surely, makes the next one begin with nothing."""
        self._settled = True

    def put_state(self, number: int, record: StateRecord) -> None:
        self._forget_state(record.key)
        self.states[record.key] = Known(number, own_state(record))
        self._bytes += record.size

    def put_no_state(self, key: ScopeKey) -> None:
        self._forget_state(key)
        self.states[key] = None

    def _forget_state(self, key: ScopeKey) -> None:
        self.state_heads.pop(key, None)
        known = self.states.pop(key, None)
        self._bytes -= 0 if known is None else known.record.size

    def put_document(self, number: int, document: Document) -> None:
        self._forget_document(document.key)
        if not document.expire_time:
            self.documents[document.key] = Known(number, document)
            self._bytes += document.size

    def _forget_document(self, key: DocumentKey) -> None:
        known = self.documents.pop(key, None)
        self._bytes -= 0 if known is None else known.record.size

    def learn(self, changes: Changes, loaded: Loaded, numbers: Numbers) -> None:
        """What the group has written of what was ``loaded``."""
        in_parts = self.large.learn(changes, loaded)
        for session in changes.changed_of(tables.SESSIONS):
            self.sessions.pop(session.key, None)
        for head in changes.changed_of(tables.SESSION_HEADS):
            known = self.sessions.get(head.key)
            if known is not None:
                self.sessions[head.key] = KnownSession(known.log, known.row, head)
        for created in changes.new_of(tables.REQUESTS):
            self.put_no_state(request_scope(created.key))
            self._put_request(created.head, numbers)
        for state in changes.put_of(tables.STATES):
            if state.key in in_parts:
                self._forget_state(state.key)
            else:
                self.put_state(numbers.states[state.key], state)
        for key in changes.removed_of(tables.STATES):
            self.put_no_state(key)
        for request in changes.changed_of(tables.REQUEST_HEADS):
            self._put_request(request, numbers)
        for process in changes.put_of(tables.PROCESSES):
            self.processes[process.process] = process
        for document in changes.put_of(tables.DOCUMENTS):
            if document.key in self.documents or not document.expire_time:
                self.put_document(numbers.documents[document.key], document)
        for document_key in changes.removed_of(tables.DOCUMENTS):
            self._forget_document(document_key)

    def _put_request(self, head: RequestHead, numbers: Numbers) -> None:
        if head.status.ended:
            self.requests.pop(head.key, None)
            self._forget_state(request_scope(head.key))
        else:
            log = numbers.logs[head.session, head.session_log_id]
            self.requests[head.key] = KnownRequest(numbers.requests[head.key], log, head)


_FIELDS = attrgetter(*[field.name for field in fields(StateRecord) if field.init])


def own_state(record: StateRecord) -> StateRecord:
    """The record as text alone: what a caller does to a parsed state can't reach what is known."""
    return StateRecord(*_FIELDS(record))
