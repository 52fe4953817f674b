"""Writing what a group has changed: new rows by INSERT, known ones by UPDATE."""

from __future__ import annotations

import sqlite3

from flowstate_server.model.events import EventType
from flowstate_server.model.records import (
    IdempotencyRecord,
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionHead,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.tables import Changes
from flowstate_server.stores.sqlite import rows
from flowstate_server.stores.sqlite.many_rows import ManyRows
from flowstate_server.stores.tables.numbers import (
    Row,
    encode_failure,
    encode_scopes,
    encode_topics,
    state_key,
)

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
_SESSION_HEADS = ManyRows(
    "UPDATE session_heads SET sequence = new.column1, turns = new.column2, activity_time = new.column3"
    " FROM (VALUES {rows}) AS new WHERE log = new.column4"
)
_NEW_REQUEST = (
    "INSERT INTO requests (tenant, request_id, log_id, user_id, org_id, fingerprint, flow_kind, action,"
    " create_time, scopes, input) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_NEW_REQUEST_HEADS = ManyRows(
    "INSERT INTO request_heads (status, process, cancel_reason, sequence, turn, end_time, unswept, request, log)"
    " VALUES {rows}"
)
_REQUEST_HEADS = ManyRows(
    "UPDATE request_heads SET status = new.column1, process = new.column2, cancel_reason = new.column3,"
    " sequence = new.column4, turn = new.column5, end_time = new.column6, unswept = unswept | new.column7"
    " FROM (VALUES {rows}) AS new WHERE request = new.column8"
)
_OUTCOMES = ManyRows("INSERT INTO outcomes (request, output, failure) VALUES {rows}")
_NEW_STATES = ManyRows(
    "INSERT INTO states (version, incarnation, present, text, create_time, update_time, kind, tenant, id, flow_kind)"
    " VALUES {rows}"
)
_STATES = ManyRows(
    "UPDATE states SET version = new.column1, incarnation = new.column2, present = new.column3, text = new.column4,"
    " create_time = new.column5, update_time = new.column6 FROM (VALUES {rows}) AS new"
    " WHERE kind = new.column7 AND tenant = new.column8 AND id = new.column9 AND flow_kind = new.column10"
)
_REMOVED_STATES = ManyRows(
    "DELETE FROM states WHERE state IN (SELECT s.state FROM (VALUES {rows}) AS new CROSS JOIN states s"
    " ON s.kind = new.column1 AND s.tenant = new.column2 AND s.id = new.column3 AND s.flow_kind = new.column4)"
)
_EVENTS = ManyRows(
    "INSERT INTO events (place, request, sequence, type, audiences, transient, time, block_path, payload)"
    " VALUES {rows}"
)
_ITEMS = ManyRows(
    "INSERT INTO items (place, request, item_index, kind, audiences, item_id, role, name, content) VALUES {rows}"
)
_NEW_PROCESSES = ManyRows("INSERT INTO processes (lease, renew_time, fenced, process) VALUES {rows}")
_PROCESSES = ManyRows(
    "UPDATE processes SET lease = new.column1, renew_time = new.column2, fenced = new.column3"
    " FROM (VALUES {rows}) AS new WHERE process = new.column4"
)
_NEW_KEYS = ManyRows(
    "INSERT INTO idempotency_keys (fingerprint, reply, expire_time, tenant, principal, method, key) VALUES {rows}"
)
_KEYS = ManyRows(
    "UPDATE idempotency_keys SET fingerprint = new.column1, reply = new.column2, expire_time = new.column3"
    " FROM (VALUES {rows}) AS new"
    " WHERE tenant = new.column4 AND principal = new.column5 AND method = new.column6 AND key = new.column7"
)
_COMMIT = "INSERT INTO commits (time, topics) VALUES (?, ?)"


def write(cursor: sqlite3.Cursor, changes: Changes, numbers: rows.Numbers) -> int:
    """Write all of ``changes``; returns the number of its row in ``commits``, 0 if it wakes nobody."""
    _Writing(cursor, changes, numbers).run()
    if not changes.topics:
        return 0
    cursor.execute(_COMMIT, (changes.time, encode_topics(changes.topics)))
    return cursor.lastrowid or 0


class _Writing:
    def __init__(self, cursor: sqlite3.Cursor, changes: Changes, numbers: rows.Numbers) -> None:
        self._cursor = cursor
        self._changes = changes
        self._numbers = numbers

    def run(self) -> None:
        self._sessions()
        self._session_heads()
        self._requests()
        self._outcomes()
        self._states()
        self._events()
        self._processes()
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
        _SESSION_HEADS.run(self._cursor, [self._session_head(head) for head in heads])

    def _session_head(self, head: SessionHead) -> Row:
        return head.sequence, head.turns, head.activity_time, self._numbers.logs[head.key, head.log_id]

    def _requests(self) -> None:
        changes = self._changes
        if not (changes.new_requests or changes.changed_requests):
            return
        swept_later = {
            RequestKey(record.session.tenant, record.request_id)
            for record in changes.events
            if record.event.transient
        }
        for record in changes.new_requests:
            self._insert_request(record)
        new = [
            (*self._request_head(record.head, swept_later), self._log_of(record.head))
            for record in changes.new_requests
        ]
        _NEW_REQUEST_HEADS.run(self._cursor, new)
        changed = [self._request_head(head, swept_later) for head in changes.changed_requests]
        _REQUEST_HEADS.run(self._cursor, changed)

    def _insert_request(self, record: RequestRecord) -> None:
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
            encode_scopes(record.scopes),
            record.input,
        )
        request = self._cursor.execute(_NEW_REQUEST, values).lastrowid
        assert request is not None
        self._numbers.requests[head.key] = request

    def _request_head(self, head: RequestHead, swept_later: set[RequestKey]) -> Row:
        return (
            *rows.request_head_values(head),
            head.key in swept_later,
            self._numbers.requests[head.key],
        )

    def _log_of(self, head: RequestHead) -> int:
        return self._numbers.logs[head.session, head.session_log_id]

    def _outcomes(self) -> None:
        changes = self._changes
        ended = [(record.key, record.output, record.failure) for record in changes.new_requests]
        ended += [(outcome.request, outcome.output, outcome.failure) for outcome in changes.outcomes]
        values = [
            (self._numbers.requests[key], output, encode_failure(failure))
            for key, output, failure in ended
            if output is not None or failure is not None
        ]
        _OUTCOMES.run(self._cursor, values)

    def _states(self) -> None:
        changes = self._changes
        _NEW_STATES.run(self._cursor, [_state(record) for record in changes.new_states])
        _STATES.run(self._cursor, [_state(record) for record in changes.changed_states])
        _REMOVED_STATES.run(self._cursor, [state_key(key) for key in changes.removed_states])

    def _events(self) -> None:
        events: list[Row] = []
        items: list[Row] = []
        for record in self._changes.events:
            log = self._numbers.logs[record.session, record.session_log_id]
            place = rows.place_of(log, record.session_sequence)
            request = None
            if record.request_id:
                request = self._numbers.requests[RequestKey(record.session.tenant, record.request_id)]
            events.append(rows.event_values(record, place, request))
            if record.event.item is not None and record.event.type is EventType.ITEM_DONE:
                items.append(rows.item_values(record.event.item, place, request))
        _EVENTS.run(self._cursor, events)
        _ITEMS.run(self._cursor, items)

    def _processes(self) -> None:
        _NEW_PROCESSES.run(self._cursor, [_process(record) for record in self._changes.new_processes])
        _PROCESSES.run(self._cursor, [_process(record) for record in self._changes.changed_processes])

    def _keys(self) -> None:
        _NEW_KEYS.run(self._cursor, [_key(record) for record in self._changes.new_keys])
        _KEYS.run(self._cursor, [_key(record) for record in self._changes.replaced_keys])


def _state(record: StateRecord) -> Row:
    return (*rows.state_values(record), *state_key(record.key))


def _process(record: ProcessRecord) -> Row:
    return record.lease, record.renew_time, record.fenced, record.process


def _key(record: IdempotencyRecord) -> Row:
    key = record.key
    return (
        record.fingerprint,
        record.reply,
        record.expire_time,
        key.tenant,
        key.principal,
        key.method,
        key.key,
    )
