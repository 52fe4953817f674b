"""Writing what a group has changed: new rows by INSERT, known ones by UPDATE."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

from flowstate_server.model.records import RequestHead, SessionHead, SessionRecord, TurnRecord
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    OUTCOMES,
    PROCESSES,
    REQUEST_HEADS,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Changes,
    Loaded,
    Table,
)
from flowstate_server.stores.sqlite.many_rows import ManyRows, delete, insert, update
from flowstate_server.stores.sqlite.places import place_of
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import Row, encode_topics

_SESSION_HEAD = rows.SESSION_HEAD.replace("c.", "")
_DOCUMENT = rows.DOCUMENT_VALUES.removeprefix("key, ")

NEW_SESSIONS = insert("sessions", f"{rows.SESSION_BINDING}, {rows.SESSION_METADATA}")
NEW_SESSION_HEADS = insert("session_heads", f"{_SESSION_HEAD}, log")
NEW_REQUESTS = insert("requests", rows.REQUEST_VALUES)
NEW_REQUEST_HEADS = insert("request_heads", f"{rows.REQUEST_HEAD_VALUES}, unswept, request, log")
NEW_OUTCOMES = insert("outcomes", "request, output, failure, reason")
NEW_TURNS = insert("turns", "request, first, last, log, number")
NEW_EVENTS = insert("events", f"place, {rows.EVENT_VALUES}")
NEW_ITEMS = insert("items", f"place, {rows.ITEM_VALUES}")
NEW_PROCESSES = insert("processes", "process, lease, renew_time, fenced")

REPLACED_SESSION = "UPDATE sessions SET replaced = 1 WHERE tenant = ? AND session_id = ? AND replaced = 0"
CHANGED_SESSIONS = update("sessions", rows.SESSION_METADATA, "log")
CHANGED_SESSION_HEADS = update("session_heads", _SESSION_HEAD, "log")
CHANGED_REQUEST_HEADS = update("request_heads", rows.REQUEST_HEAD_VALUES, "request", noted="unswept")
MOVED_REQUEST_HEADS = update("request_heads", "sequence", "request", noted="unswept")
"""For heads of which nothing else has changed, as of all runs that emit: it leaves the indexes alone."""
CHANGED_TURNS = update("turns", "request, first, last", "log, number")
CHANGED_PROCESSES = update("processes", "lease, renew_time, fenced", "process")

REMOVED_TURN = "DELETE FROM turns WHERE log = ? AND number = ?"
REQUEST_NUMBER = "SELECT request FROM requests WHERE tenant = ? AND request_id = ?"
COMMIT = "INSERT INTO commits (time, topics) VALUES (?, ?)"


class Numbered(NamedTuple):
    """How the records of a table are written whose rows have a number that nothing else refers to."""

    new: ManyRows
    new_values: Callable[[Any], Row]
    changed: ManyRows
    changed_values: Callable[[Any], Row]
    removed: ManyRows


NUMBERED: dict[Table[Any, Any], Numbered] = {
    STATES: Numbered(
        insert("states", f"kind, tenant, id, flow_kind, {rows.STATE_VALUES}"),
        rows.state_row,
        update("states", rows.STATE_VALUES, "state"),
        rows.state_values,
        delete("states", "state"),
    ),
    DOCUMENTS: Numbered(
        insert("documents", rows.DOCUMENT_VALUES),
        rows.document_values,
        update("documents", _DOCUMENT, "document"),
        lambda document: rows.document_values(document)[1:],
        delete("documents", "document"),
    ),
}


def write(cursor: sqlite3.Cursor, changes: Changes, loaded: Loaded, numbers: rows.Numbers) -> int:
    """Write all of ``changes`` of what was ``loaded``, adding the numbers of new rows to ``numbers``.

    Returns the number of its row in ``commits``, 0 if it wakes nobody.
    """
    _Writing(cursor, changes, loaded.of(REQUEST_HEADS), numbers).run()
    if not changes.topics:
        return 0
    cursor.execute(COMMIT, (changes.time, encode_topics(changes.topics)))
    return cursor.lastrowid or 0


class _Writing:
    def __init__(
        self,
        cursor: sqlite3.Cursor,
        changes: Changes,
        known_heads: dict[RequestKey, RequestHead],
        numbers: rows.Numbers,
    ) -> None:
        self._cursor = cursor
        self._changes = changes
        self._known_heads = known_heads
        self._numbers = numbers

    def run(self) -> None:
        self._sessions()
        self._requests()
        self._turns()
        self._events()
        self._numbered(STATES, self._numbers.states)
        self._numbered(DOCUMENTS, self._numbers.documents)
        self._processes()

    def _sessions(self) -> None:
        changes, logs = self._changes, self._numbers.logs
        new, changed = [*changes.new_of(SESSIONS)], []
        for record in changes.changed_of(SESSIONS):
            log = logs.get((record.key, record.log_id))
            if log is None:
                self._cursor.execute(REPLACED_SESSION, record.key)
                new.append(record)
            else:
                changed.append((*rows.session_metadata(record), log))
        heads = changes.put_of(SESSION_HEADS)
        if new:
            heads = self._insert_sessions(new, heads)
        CHANGED_SESSIONS.run(self._cursor, changed)
        CHANGED_SESSION_HEADS.run(self._cursor, [self._session_head(head) for head in heads])

    def _insert_sessions(self, new: list[SessionRecord], heads: list[SessionHead]) -> list[SessionHead]:
        """With their heads; gives back the others."""
        values = [(*rows.session_binding(record), *rows.session_metadata(record)) for record in new]
        inserted = NEW_SESSIONS.insert(self._cursor, values)
        self._numbers.logs.update(
            {(record.key, record.log_id): log for record, log in zip(new, inserted, strict=True)}
        )
        others = {(head.key, head.log_id): head for head in heads}
        # One that is copied from another store has its head in a later commit.
        new_heads = [
            others.pop(
                (record.key, record.log_id), SessionHead(record.key, record.log_id, 0, 0, record.create_time)
            )
            for record in new
        ]
        NEW_SESSION_HEADS.run(self._cursor, [self._session_head(head) for head in new_heads])
        return [*others.values()]

    def _session_head(self, head: SessionHead) -> Row:
        return (*rows.session_head_values(head), self._numbers.logs[head.key, head.log_id])

    def _requests(self) -> None:
        changes, numbers = self._changes, self._numbers
        new, changed = changes.new_of(REQUESTS), changes.changed_of(REQUEST_HEADS)
        swept_later = rows.with_transient_events(changes.events) if new or changed else set()
        if new:
            inserted = NEW_REQUESTS.insert(self._cursor, [rows.request_values(record) for record in new])
            numbers.requests.update(
                {record.key: number for record, number in zip(new, inserted, strict=True)}
            )
            heads = [
                (*self._request_head(head, swept_later), numbers.logs[head.session, head.session_log_id])
                for head in (record.head for record in new)
            ]
            NEW_REQUEST_HEADS.run(self._cursor, heads)
        self._changed_heads(changed, swept_later)
        outcomes = [
            (numbers.requests[outcome.key], *rows.outcome_values(outcome))
            for outcome in changes.new_of(OUTCOMES)
            if rows.is_told(outcome)
        ]
        NEW_OUTCOMES.run(self._cursor, outcomes)

    def _changed_heads(self, heads: list[RequestHead], swept_later: set[RequestKey]) -> None:
        moved: list[Row] = []
        changed: list[Row] = []
        for head in heads:
            if _has_only_moved(self._known_heads[head.key], head):
                moved.append((head.sequence, head.key in swept_later, self._numbers.requests[head.key]))
            else:
                changed.append(self._request_head(head, swept_later))
        MOVED_REQUEST_HEADS.run(self._cursor, moved)
        CHANGED_REQUEST_HEADS.run(self._cursor, changed)

    def _request_head(self, head: RequestHead, swept_later: set[RequestKey]) -> Row:
        return *rows.request_head_values(head), head.key in swept_later, self._numbers.requests[head.key]

    def _turns(self) -> None:
        changes, logs = self._changes, self._numbers.logs
        NEW_TURNS.run(self._cursor, [self._turn(turn) for turn in changes.new_of(TURNS)])
        CHANGED_TURNS.run(self._cursor, [self._turn(turn) for turn in changes.changed_of(TURNS)])
        for session, log_id, number in changes.removed_of(TURNS):
            self._cursor.execute(REMOVED_TURN, (logs[session, log_id], number))

    def _turn(self, turn: TurnRecord) -> Row:
        session, log_id, number = turn.key
        request = None
        if turn.request_id:
            request = self._request_number(RequestKey(session.tenant, turn.request_id))
        return request, turn.first, turn.last, self._numbers.logs[session, log_id], number

    def _request_number(self, key: RequestKey) -> int | None:
        number = self._numbers.requests.get(key)
        if number is None:  # a turn that is copied from another store: its request is no part of the commit
            found = self._cursor.execute(REQUEST_NUMBER, key).fetchone()
            number = None if found is None else found[0]
        return number

    def _events(self) -> None:
        events: list[Row] = []
        items: list[Row] = []
        for record in self._changes.events:
            place = place_of(self._numbers.log_of(record), record.session_sequence)
            request = self._numbers.request_of(record)
            events.append((place, *rows.event_values(record, request)))
            item = rows.item_of(record.event)
            if item is not None:
                items.append((place, *rows.item_values(record, item, request)))
        NEW_EVENTS.run(self._cursor, events)
        NEW_ITEMS.run(self._cursor, items)

    def _numbered(self, table: Table[Any, Any], numbers: dict[Any, int]) -> None:
        changes, how = self._changes, NUMBERED[table]
        new = changes.new_of(table)
        if new:
            inserted = how.new.insert(self._cursor, [how.new_values(record) for record in new])
            numbers.update({record.key: number for record, number in zip(new, inserted, strict=True)})
        changed = changes.changed_of(table)
        how.changed.run(self._cursor, [(*how.changed_values(one), numbers[one.key]) for one in changed])
        how.removed.run(self._cursor, [(numbers[key],) for key in changes.removed_of(table)])

    def _processes(self) -> None:
        new, changed = self._changes.new_of(PROCESSES), self._changes.changed_of(PROCESSES)
        NEW_PROCESSES.run(self._cursor, [rows.process_values(record) for record in new])
        values = [(record.lease, record.renew_time, record.fenced, record.process) for record in changed]
        CHANGED_PROCESSES.run(self._cursor, values)


def _has_only_moved(before: RequestHead, after: RequestHead) -> bool:
    return (
        before.status is after.status
        and before.cancel_requested == after.cancel_requested
        and before.process == after.process
        and before.attempt == after.attempt
        and before.end_time == after.end_time
    )
