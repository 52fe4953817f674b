"""Writing what a group has changed, in one statement: new rows by INSERT, known ones by UPDATE."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from flowstate_server.model.records import RequestHead, SessionHead, SessionRecord, TurnRecord
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.backend import Conflict
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    EVENTS,
    OUTCOMES,
    PROCESSES,
    REQUEST_HEADS,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Changes,
    Table,
)
from flowstate_server.stores.postgres.loading import Absent
from flowstate_server.stores.postgres.numbers import NumberSource
from flowstate_server.stores.postgres.statements import (
    KEYS,
    RowsWrite,
    WriteTexts,
    columns,
    delete,
    insert,
    update,
)
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import Row, encode_topics


class Written(NamedTuple):
    """What a transaction is known by, should the connection be lost: its number, and its row in ``commits``."""

    commit: int
    token: int
    transaction: int


class Writer:
    """Draws numbers and writes; one for each store."""

    def __init__(self) -> None:
        self._logs = NumberSource("log_numbers")
        self._requests = NumberSource("request_numbers")

    async def write(
        self, connection: Any, changes: Changes, numbers: rows.Numbers, absent: Absent
    ) -> Written:
        """Write all of ``changes``, which are not empty.

        Raises:
            Conflict: what was ``absent`` has been committed since.
        """
        writing = Writing(changes, numbers)
        if writing.created:
            taken = await self._logs.take(connection, len(writing.created))
            numbers.logs.update(zip(writing.created, taken, strict=True))
        requests = changes.new_of(REQUESTS)
        if requests:
            taken = await self._requests.take(connection, len(requests))
            numbers.requests.update(zip([record.key for record in requests], taken, strict=True))
        text, values = write_query(writing, absent)
        [(commit, transaction, appeared)] = await connection.fetch(text, *values)
        if appeared:
            raise Conflict
        return Written(commit, writing.token, transaction)


class Writing:
    """The rows of each write of a group. ``created`` are the incarnations of sessions that it makes."""

    def __init__(self, changes: Changes, numbers: rows.Numbers) -> None:
        self.token = random.getrandbits(63)
        self.changes = changes
        self.numbers = numbers
        self.created = {
            incarnation: record
            for record in changes.put_of(SESSIONS)
            if (incarnation := (record.key, record.log_id)) not in numbers.logs
        }
        self._transient: set[RequestKey] | None = None

    def replaced_sessions(self) -> Iterable[Row]:
        changed = self.changes.changed_of(SESSIONS)
        return sorted(tuple(record.key) for record in changed if self._is_created(record))

    def new_sessions(self) -> Iterable[Row]:
        for record in sorted(self.created.values(), key=lambda record: record.key):
            yield self._log(record), False, *rows.session_binding(record), *rows.session_metadata(record)

    def changed_sessions(self) -> Iterable[Row]:
        for record in self.changes.changed_of(SESSIONS):
            if not self._is_created(record):
                yield self._log(record), *rows.session_metadata(record)

    def new_session_heads(self) -> Iterable[Row]:
        """A session without a head, as it is while it is copied, could not be loaded."""
        if self.created:
            heads = {incarnation: SessionHead(*incarnation, 0, 0, 0) for incarnation in self.created}
            for head in self.changes.put_of(SESSION_HEADS):
                if self._is_created(head):
                    heads[head.key, head.log_id] = head
            for head in heads.values():
                yield self._log(head), *rows.session_head_values(head)

    def changed_session_heads(self) -> Iterable[Row]:
        for head in self.changes.put_of(SESSION_HEADS):
            if not self._is_created(head):
                yield self._log(head), *rows.session_head_values(head)

    def new_requests(self) -> Iterable[Row]:
        for record in sorted(self.changes.new_of(REQUESTS), key=lambda record: record.key):
            yield self.numbers.requests[record.key], *rows.request_values(record)

    def new_request_heads(self) -> Iterable[Row]:
        for record in self.changes.new_of(REQUESTS):
            head = record.head
            yield *self._request_head(head), self.numbers.logs[head.session, head.session_log_id]

    def changed_request_heads(self) -> Iterable[Row]:
        return map(self._request_head, self.changes.changed_of(REQUEST_HEADS))

    def new_outcomes(self) -> Iterable[Row]:
        for outcome in self.changes.new_of(OUTCOMES):
            if rows.is_told(outcome):
                yield self.numbers.requests[outcome.key], *rows.outcome_values(outcome)

    def new_turns(self) -> Iterable[Row]:
        return map(self._turn, self.changes.new_of(TURNS))

    def changed_turns(self) -> Iterable[Row]:
        return map(self._turn, self.changes.changed_of(TURNS))

    def removed_turns(self) -> Iterable[Row]:
        for key in self.changes.removed_of(TURNS):
            yield self.numbers.logs[key.session, key.log_id], key.number

    def new_states(self) -> Iterable[Row]:
        return sorted(map(rows.state_row, self.changes.new_of(STATES)), key=lambda row: row[:4])

    def changed_states(self) -> Iterable[Row]:
        for record in self.changes.changed_of(STATES):
            yield self.numbers.states[record.key], *rows.state_values(record)

    def removed_states(self) -> Iterable[Row]:
        return [(self.numbers.states[key],) for key in self.changes.removed_of(STATES)]

    def new_processes(self) -> Iterable[Row]:
        return sorted(map(rows.process_values, self.changes.new_of(PROCESSES)))

    def changed_processes(self) -> Iterable[Row]:
        return map(rows.process_values, self.changes.changed_of(PROCESSES))

    def new_documents(self) -> Iterable[Row]:
        return sorted(map(rows.document_values, self.changes.new_of(DOCUMENTS)), key=lambda row: row[0])

    def changed_documents(self) -> Iterable[Row]:
        for document in self.changes.changed_of(DOCUMENTS):
            yield self.numbers.documents[document.key], *rows.document_values(document)

    def removed_documents(self) -> Iterable[Row]:
        return [(self.numbers.documents[key],) for key in self.changes.removed_of(DOCUMENTS)]

    def new_events(self) -> Iterable[Row]:
        numbers = self.numbers
        for record in self.changes.events:
            values = rows.event_values(record, numbers.request_of(record))
            yield numbers.log_of(record), record.session_sequence, *values

    def new_items(self) -> Iterable[Row]:
        numbers = self.numbers
        for record in self.changes.events:
            item = rows.item_of(record.event)
            if item is not None:
                values = rows.item_values(record, item, numbers.request_of(record))
                yield numbers.log_of(record), record.session_sequence, *values

    def new_commits(self) -> Iterable[Row]:
        return [(self.token, self.changes.time, encode_topics(self.changes.topics))]

    def _is_created(self, record: SessionRecord | SessionHead) -> bool:
        return (record.key, record.log_id) in self.created

    def _log(self, record: SessionRecord | SessionHead) -> int:
        return self.numbers.logs[record.key, record.log_id]

    def _request_head(self, head: RequestHead) -> Row:
        if self._transient is None:
            self._transient = rows.with_transient_events(self.changes.events)
        return (
            self.numbers.requests[head.key],
            *rows.request_head_values(head),
            head.key in self._transient,
        )

    def _turn(self, turn: TurnRecord) -> Row:
        key = turn.key
        request = RequestKey(key.session.tenant, turn.request_id)
        return (
            self.numbers.logs[key.session, key.log_id],
            key.number,
            self.numbers.requests[request] if turn.request_id else None,
            turn.first,
            turn.last,
        )


_SESSION = f"log, replaced, {rows.SESSION_BINDING}, {rows.SESSION_METADATA}"
_SESSION_HEAD = "sequence, turns, activity_time, floor"
_STATE = f"kind, tenant, id, flow_kind, {rows.STATE_VALUES}"
_REQUEST_HEAD = f"{rows.REQUEST_HEAD_VALUES}, unswept"
_PROCESS = "lease, renew_time, fenced"
_TURN = "request, first, last"
_REPLACED = RowsWrite(
    "replaced_sessions",
    "UPDATE flowstate.sessions old SET replaced = true FROM {rows} WHERE old.tenant = new.tenant"
    " AND old.session_id = new.session_id AND NOT old.replaced {after} RETURNING 1",
    "tenant, session_id",
)
_COMMITS = RowsWrite(
    "new_commits",
    "INSERT INTO flowstate.commits (token, time, topics) SELECT token, time, topics FROM {rows} RETURNING id",
    "token, time, topics",
)

_RowsOf = Callable[[Writing], Iterable[Row]]

WRITES: tuple[tuple[Table[Any, Any] | None, RowsWrite, _RowsOf], ...] = (
    # Those that may meet another process's, in the order in which all processes go about them, each by key.
    (SESSIONS, _REPLACED, Writing.replaced_sessions),
    (SESSIONS, insert("sessions", _SESSION, ordered=True), Writing.new_sessions),
    (REQUESTS, insert("requests", f"request, {rows.REQUEST_VALUES}", ordered=True), Writing.new_requests),
    (STATES, insert("states", _STATE, ordered=True), Writing.new_states),
    (PROCESSES, insert("processes", f"process, {_PROCESS}", ordered=True), Writing.new_processes),
    (DOCUMENTS, insert("documents", rows.DOCUMENT_VALUES, ordered=True), Writing.new_documents),
    # Those of rows that are locked, or that only this group knows of.
    (SESSIONS, update("sessions", "log", rows.SESSION_METADATA), Writing.changed_sessions),
    (SESSIONS, insert("session_heads", f"log, {_SESSION_HEAD}"), Writing.new_session_heads),
    (SESSION_HEADS, update("session_heads", "log", _SESSION_HEAD), Writing.changed_session_heads),
    (REQUESTS, insert("request_heads", f"request, {_REQUEST_HEAD}, log"), Writing.new_request_heads),
    (
        REQUEST_HEADS,
        update("request_heads", "request", _REQUEST_HEAD, latched="unswept"),
        Writing.changed_request_heads,
    ),
    (OUTCOMES, insert("outcomes", "request, output, failure, reason"), Writing.new_outcomes),
    (TURNS, insert("turns", f"log, number, {_TURN}"), Writing.new_turns),
    (TURNS, update("turns", "log, number", _TURN), Writing.changed_turns),
    (TURNS, delete("turns", "log, number"), Writing.removed_turns),
    (STATES, update("states", "state", rows.STATE_VALUES), Writing.changed_states),
    (STATES, delete("states", "state"), Writing.removed_states),
    (PROCESSES, update("processes", "process", _PROCESS), Writing.changed_processes),
    (DOCUMENTS, update("documents", "document", rows.DOCUMENT_VALUES), Writing.changed_documents),
    (DOCUMENTS, delete("documents", "document"), Writing.removed_documents),
    (EVENTS, insert("events", f"log, session_sequence, {rows.EVENT_VALUES}"), Writing.new_events),
    (EVENTS, insert("items", f"log, session_sequence, {rows.ITEM_VALUES}"), Writing.new_items),
    (None, _COMMITS, Writing.new_commits),
)
"""The table whose changes a write is of, ``None``: of any."""
TEXTS = WriteTexts([write for _, write, _ in WRITES])


def write_query(writing: Writing, absent: Absent) -> tuple[str, list[Any]]:
    """The statement that writes, and looks for what was absent; and its values."""
    changes = writing.changes
    touched: set[Table[Any, Any] | None] = {None, *changes.new, *changes.changed, *changes.removed}
    if changes.events:
        touched.add(EVENTS)
    chosen: list[int] = []
    values: list[Any] = []
    for place, (table, write, rows_of) in enumerate(WRITES):
        if table in touched and (found := list(rows_of(writing))):
            chosen.append(place)
            values += columns(found, write.width)
    for table, keys in absent.items():
        values += KEYS[table].values(keys)
    return TEXTS.text(tuple(chosen), tuple(absent)), values
