"""Loading the records that a group needs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentKey, DocumentRange
from flowstate_server.model.records import StateHead, StateRecord, TurnKey
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.backend import LOAD_LIMIT, Group
from flowstate_server.stores.contract.pages import understood_one
from flowstate_server.stores.contract.tables import Loaded, Needs, Table
from flowstate_server.stores.sqlite import documents as shelf, reads
from flowstate_server.stores.sqlite.known_rows import Known, KnownRequest, KnownRows, KnownSession, own_state
from flowstate_server.stores.sqlite.many_rows import ManyRows
from flowstate_server.stores.tables import columns, rows
from flowstate_server.stores.tables.numbers import Row, state_key

PROCESS = f"SELECT {rows.PROCESS} FROM processes p WHERE p.process = ?"
TURN = (
    f"SELECT {rows.TURN} FROM turns u LEFT JOIN requests r ON r.request = u.request"
    " WHERE u.log = ? AND u.number = ?"
)
PRESENT_REQUESTS = ManyRows(
    "SELECT r.tenant, r.request_id FROM (VALUES {rows}) AS new"
    " CROSS JOIN requests r ON r.tenant = new.column1 AND r.request_id = new.column2"
)


class Loader:
    """Loads batch by batch, each record once."""

    def __init__(self, cursor: sqlite3.Cursor, known: KnownRows, time: Micros) -> None:
        self.loaded = Loaded(time)
        self.numbers = rows.Numbers()
        self._cursor = cursor
        self._known = known
        self._asked: dict[Table[Any, Any], set[Any]] = {table: set() for table in _LOADS}
        self._bytes = 0

    def load(self, group: Group) -> int:
        """Load until the documents exceed the limit; returns how many batches are ready."""
        needs = [group.needs_of(position) for position in range(len(group))]
        self._pass_over_absent(needs)
        for position, needed in enumerate(needs):
            self._load(needed)
            if self._bytes > LOAD_LIMIT:
                return position + 1
        return len(group)

    def _pass_over_absent(self, needs: list[Needs]) -> None:
        """What is new is looked for too, in vain: one statement tells so of all requests, one of all documents."""
        known = self._known
        requests = {key for one in needs for key in one.of(tables.REQUEST_HEADS) if key not in known.requests}
        if len(requests) > 1:
            present = PRESENT_REQUESTS.fetch(self._cursor, [*requests])
            self._asked[tables.REQUEST_HEADS] |= requests.difference(present)
        documents = {key for one in needs for key in one.of(tables.DOCUMENTS) if key not in known.documents}
        if len(documents) > 1:
            self._asked[tables.DOCUMENTS] |= shelf.absent(self._cursor, documents)

    def _load(self, needs: Needs) -> None:
        for table, keys in needs.keys.items():
            asked, load = self._asked[table], _LOADS[table]
            for key in keys:
                if key not in asked:
                    asked.add(key)
                    load(self, key)
        for which in needs.ranges - self.loaded.ranges.keys():
            self._range(which)
        for session in needs.open_requests - self.loaded.open_requests.keys():
            self._open_requests(session)

    def _request(self, key: RequestKey) -> None:
        known = self._known.requests.get(key)
        if known is None:
            row = self._cursor.execute(reads.KNOWN_REQUEST_HEAD, key).fetchone()
            if row is None:
                return
            head = understood_one(key, row, rows.request_head)
            known = self._known.requests[key] = KnownRequest(row[0], row[1], head)
        head = known.head
        self.loaded.of(tables.REQUEST_HEADS)[key] = head
        self.numbers.requests[key] = known.number
        self.numbers.logs[head.session, head.session_log_id] = known.log
        self._session_once(head.session)  # its events go to its session's log too

    def _session_once(self, key: SessionKey) -> None:
        asked = self._asked[tables.SESSIONS]
        if key not in asked:
            asked.add(key)
            self._session(key)

    def _session(self, key: SessionKey) -> None:
        known = self._known.sessions.get(key)
        if known is None:
            row = self._cursor.execute(reads.SESSION_WITH_HEAD, key).fetchone()
            if row is None:
                return
            log, record, head = rows.session_with_head(row)
            self._known.sessions[key] = KnownSession(log, row[-columns.SESSION.width :], head)
        else:
            log, record, head = known.log, rows.session_record(known.row), known.head
        self.loaded.of(tables.SESSIONS)[key] = record
        self.loaded.of(tables.SESSION_HEADS)[key] = head
        self.numbers.logs[key, record.log_id] = log

    def _state(self, key: ScopeKey) -> None:
        if key not in self._known.states:
            row = self._cursor.execute(reads.KEPT_STATE, state_key(key)).fetchone()
            if row is None:
                self._known.put_no_state(key)
            elif rows.kept_parts(row[1:])[0] is not None:
                self._put_state(row[0], self._state_in_parts(key, row))
                return
            else:
                self._known.put_state(row[0], understood_one(key, row[1:], rows.state_record))
        known = self._known.states[key]
        if known is not None:
            self._put_state(known.number, own_state(known.record))

    def _state_in_parts(self, key: ScopeKey, row: Row) -> StateRecord:
        """It is looked for in each group: to look costs little beside what a group makes of it."""
        large = self._known.large
        found = large.find(understood_one(key, row[1:], rows.kept_state))
        if found is None:
            parts = self._cursor.execute(reads.STATE_PARTS, row[:1]).fetchone()
            found = understood_one(
                key, (*row[1:], *parts), lambda whole: large.loaded(rows.state_record(whole))
            )
        return found

    def _put_state(self, number: int, record: StateRecord) -> None:
        self.loaded.of(tables.STATES)[record.key] = record
        self.numbers.states[record.key] = number
        self._bytes += record.size

    def _state_head(self, key: ScopeKey) -> None:
        known = self._known
        if key in known.states:
            state = known.states[key]
            found = None if state is None else Known(state.number, _head_of(state.record))
        elif key in known.state_heads:
            found = known.state_heads[key]
        else:
            row = self._cursor.execute(reads.STATE_HEAD, state_key(key)).fetchone()
            found = None
            if row is not None:
                found = Known(row[0], understood_one(key, row[1:], rows.state_head))
            known.state_heads[key] = found
        if found is not None:
            self.loaded.of(tables.STATE_HEADS)[key] = found.record
            self.numbers.states[key] = found.number

    def _turn(self, key: TurnKey) -> None:
        self._session_once(key.session)
        log = self.numbers.logs.get((key.session, key.log_id))
        row = self._cursor.execute(TURN, (log, key.number)).fetchone()
        if row is not None:
            self.loaded.of(tables.TURNS)[key] = rows.turn_record(row, key.session, key.log_id)

    def _process(self, process: str) -> None:
        record = self._known.processes.get(process)
        if record is None:
            row = self._cursor.execute(PROCESS, (process,)).fetchone()
            if row is None:
                return
            record = self._known.processes[process] = rows.process_record(row)
        self.loaded.of(tables.PROCESSES)[process] = record

    def _document(self, key: DocumentKey) -> None:
        known = self._known.documents.get(key) or shelf.find(self._cursor, key)
        if known is None:
            return
        number, document = known
        if key not in self._known.documents:
            self._known.put_document(number, document)
        self.loaded.of(tables.DOCUMENTS)[key] = document
        self.numbers.documents[key] = number
        self._bytes += document.size

    def _range(self, which: DocumentRange) -> None:
        documents = self.loaded.ranges[which] = []
        for row in shelf.rows_in(self._cursor, which, self.loaded.time):
            document = understood_one(row[1], row, shelf.document_in)
            documents.append(document)
            self.numbers.documents[document.key] = row[0]
            self._bytes += document.size

    def _open_requests(self, session: SessionKey) -> None:
        heads = self.loaded.open_requests[session] = []
        self._session_once(session)
        known = self._known.sessions.get(session)
        if known is not None:
            for row in self._cursor.execute(reads.OPEN_IN_SESSION, (known.log,)):
                head = understood_one(rows.request_key(row), row, rows.request_head)
                heads.append(head)
                self.numbers.requests[head.key] = row[0]


def _head_of(record: StateRecord) -> StateHead:
    return StateHead(record.key, record.version, record.incarnation, record.exists)


_LOADS: dict[Table[Any, Any], Callable[[Loader, Any], None]] = {
    tables.SESSIONS: Loader._session,
    tables.REQUEST_HEADS: Loader._request,
    tables.STATES: Loader._state,
    tables.STATE_HEADS: Loader._state_head,
    tables.TURNS: Loader._turn,
    tables.PROCESSES: Loader._process,
    tables.DOCUMENTS: Loader._document,
}
