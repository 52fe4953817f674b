"""Writing what a group has changed: new rows by INSERT, known ones by UPDATE."""

from __future__ import annotations

import sqlite3

from flowstate_server.model.events import EventType
from flowstate_server.model.records import RequestHead, RequestRecord, SessionHead, SessionRecord, StateRecord
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.storage import Changes
from flowstate_server.stores.sqlite import rows

_NEW_SESSION = (
    "INSERT INTO sessions (tenant, session_id, log_id, ephemeral, flow_kind, user_id, org_id, create_time,"
    " update_time, delete_time, version, title, description, tags, metadata)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SESSION = (
    "UPDATE sessions SET update_time = ?, delete_time = ?, version = ?, title = ?, description = ?, tags = ?,"
    " metadata = ? WHERE log = ?"
)
_REPLACED = "UPDATE sessions SET replaced = 1 WHERE tenant = ? AND session_id = ? AND replaced = 0"
_NEW_SESSION_HEAD = "INSERT INTO session_heads (sequence, turns, activity_time, log) VALUES (?, ?, ?, ?)"
_SESSION_HEAD = "UPDATE session_heads SET sequence = ?, turns = ?, activity_time = ? WHERE log = ?"
_NEW_REQUEST = (
    "INSERT INTO requests (tenant, request_id, log_id, user_id, org_id, fingerprint, flow_kind, action,"
    " create_time, scopes, input) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_NEW_REQUEST_HEAD = (
    "INSERT INTO request_heads (status, process, cancel_reason, sequence, turn, end_time, unswept, request, log)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_REQUEST_HEAD = (
    "UPDATE request_heads SET status = ?, process = ?, cancel_reason = ?, sequence = ?, turn = ?, end_time = ?,"
    " unswept = unswept | ? WHERE request = ?"
)
_OUTCOME = "INSERT INTO outcomes (request, output, failure) VALUES (?, ?, ?)"
_NEW_STATE = (
    "INSERT INTO states (version, incarnation, present, text, create_time, update_time,"
    " kind, tenant, id, flow_kind) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_STATE = (
    "UPDATE states SET version = ?, incarnation = ?, present = ?, text = ?, create_time = ?, update_time = ?"
    " WHERE kind = ? AND tenant = ? AND id = ? AND flow_kind = ?"
)
_REMOVED_STATE = "DELETE FROM states WHERE kind = ? AND tenant = ? AND id = ? AND flow_kind = ?"
_EVENT = (
    "INSERT INTO events (place, request, sequence, type, audiences, transient, time, block_path, payload)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ITEM = (
    "INSERT INTO items (place, request, item_index, kind, audiences, item_id, role, name, content)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_NEW_PROCESS = "INSERT INTO processes (lease, renew_time, fenced, process) VALUES (?, ?, ?, ?)"
_PROCESS = "UPDATE processes SET lease = ?, renew_time = ?, fenced = ? WHERE process = ?"
_NEW_KEY = (
    "INSERT INTO idempotency_keys (fingerprint, reply, expire_time, tenant, principal, method, key)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_KEY = (
    "UPDATE idempotency_keys SET fingerprint = ?, reply = ?, expire_time = ?"
    " WHERE tenant = ? AND principal = ? AND method = ? AND key = ?"
)
_COMMIT = "INSERT INTO commits (time, topics) VALUES (?, ?)"


def write(cursor: sqlite3.Cursor, changes: Changes, numbers: rows.Numbers) -> int:
    """Write all of ``changes``; returns the number of its row in ``commits``, 0 if it wakes nobody."""
    _Writing(cursor, changes, numbers).run()
    if not changes.topics:
        return 0
    cursor.execute(_COMMIT, (changes.time, rows.encode_topics(changes.topics)))
    return cursor.lastrowid or 0


class _Writing:
    def __init__(self, cursor: sqlite3.Cursor, changes: Changes, numbers: rows.Numbers) -> None:
        self._cursor = cursor
        self._changes = changes
        self._numbers = numbers

    def run(self) -> None:
        changes = self._changes
        self._sessions()
        self._session_heads()
        self._requests()
        self._states()
        if changes.events:
            self._events()
        if changes.new_processes or changes.changed_processes:
            self._processes()
        if changes.new_keys or changes.replaced_keys:
            self._keys()

    def _sessions(self) -> None:
        for record in self._changes.new_sessions:
            self._insert_session(record)
        for record in self._changes.changed_sessions:
            log = self._numbers.logs.get((record.key, record.log_id))
            if log is None:
                self._cursor.execute(_REPLACED, record.key)
                self._insert_session(record)
            else:
                values = (record.update_time, *rows.session_metadata(record), log)
                self._cursor.execute(_SESSION, values)

    def _insert_session(self, record: SessionRecord) -> None:
        values = (
            *record.key,
            record.log_id,
            record.ephemeral,
            record.flow_kind,
            record.user_id,
            record.org_id,
            record.create_time,
            record.update_time,
            *rows.session_metadata(record),
        )
        log = self._cursor.execute(_NEW_SESSION, values).lastrowid
        assert log is not None
        self._numbers.logs[record.key, record.log_id] = log
        self._cursor.execute(_NEW_SESSION_HEAD, (0, 0, record.create_time, log))

    def _session_heads(self) -> None:
        heads = self._changes.new_session_heads + self._changes.changed_session_heads
        if heads:
            self._cursor.executemany(_SESSION_HEAD, [self._session_head(head) for head in heads])

    def _session_head(self, head: SessionHead) -> rows.Row:
        return head.sequence, head.turns, head.activity_time, self._numbers.logs[head.key, head.log_id]

    def _requests(self) -> None:
        changes = self._changes
        swept_later = {
            RequestKey(record.session.tenant, record.request_id)
            for record in changes.events
            if record.event.transient
        }
        for record in changes.new_requests:
            self._insert_request(record, record.key in swept_later)
        if changes.changed_requests:
            values = [self._request_head(head, head.key in swept_later) for head in changes.changed_requests]
            self._cursor.executemany(_REQUEST_HEAD, values)
        for outcome in changes.outcomes:
            request = self._numbers.requests[outcome.request]
            self._outcome(request, outcome.output, rows.encode_failure(outcome.failure))

    def _insert_request(self, record: RequestRecord, unswept: bool) -> None:
        head = record.head
        values = (
            *head.key,
            head.log_id,
            head.user_id,
            record.org_id,
            head.fingerprint,
            record.flow_kind,
            record.action,
            head.create_time,
            rows.encode_scopes(record.scopes),
            record.input,
        )
        request = self._cursor.execute(_NEW_REQUEST, values).lastrowid
        assert request is not None
        self._numbers.requests[head.key] = request
        log = self._numbers.logs[head.session, head.session_log_id]
        self._cursor.execute(_NEW_REQUEST_HEAD, (*rows.request_head_values(head), unswept, request, log))
        self._outcome(request, record.output, rows.encode_failure(record.failure))

    def _request_head(self, head: RequestHead, unswept: bool) -> rows.Row:
        return (*rows.request_head_values(head), unswept, self._numbers.requests[head.key])

    def _outcome(self, request: int, output: bytes | None, failure: bytes | None) -> None:
        if output is not None or failure is not None:
            self._cursor.execute(_OUTCOME, (request, output, failure))

    def _states(self) -> None:
        changes = self._changes
        if changes.new_states:
            self._cursor.executemany(_NEW_STATE, map(_state, changes.new_states))
        if changes.changed_states:
            self._cursor.executemany(_STATE, map(_state, changes.changed_states))
        if changes.removed_states:
            self._cursor.executemany(_REMOVED_STATE, map(rows.state_key, changes.removed_states))

    def _events(self) -> None:
        events: list[rows.Row] = []
        items: list[rows.Row] = []
        for record in self._changes.events:
            log = self._numbers.logs[record.session, record.session_log_id]
            place = rows.place_of(log, record.session_sequence)
            request = None
            if record.request_id:
                request = self._numbers.requests[RequestKey(record.session.tenant, record.request_id)]
            events.append(rows.event_values(record, place, request))
            if record.event.item is not None and record.event.type is EventType.ITEM_DONE:
                items.append(rows.item_values(record.event.item, place, request))
        self._cursor.executemany(_EVENT, events)
        if items:
            self._cursor.executemany(_ITEM, items)

    def _processes(self) -> None:
        for statement, records in (
            (_NEW_PROCESS, self._changes.new_processes),
            (_PROCESS, self._changes.changed_processes),
        ):
            values = [(record.lease, record.renew_time, record.fenced, record.process) for record in records]
            self._cursor.executemany(statement, values)

    def _keys(self) -> None:
        for statement, records in (
            (_NEW_KEY, self._changes.new_keys),
            (_KEY, self._changes.replaced_keys),
        ):
            for record in records:
                key = record.key
                values = (record.fingerprint, record.reply, record.expire_time)
                self._cursor.execute(statement, (*values, key.tenant, key.principal, key.method, key.key))


def _state(record: StateRecord) -> rows.Row:
    return (*rows.state_values(record), *rows.state_key(record.key))
