"""The rows of what a group has changed: one description for each write, whichever way a database is told to do it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeVar

from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.records import Outcome, RequestHead, SessionHead, SessionRecord, TurnRecord
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Changes, Loaded, Table
from flowstate_server.stores.tables import columns
from flowstate_server.stores.tables.labels import COLUMNS as LABEL_COLUMNS, LabelChanges, changed_labels
from flowstate_server.stores.tables.numbers import Row, encode_failure
from flowstate_server.stores.tables.rows import Numbers
from flowstate_server.stores.tables.state_parts import (
    kept_parts_of,
    new_part,
    replaces_parts,
    without_text,
)

Record = TypeVar("Record")

Place = Callable[[int, int], Row]
"""What stands for an event's log and ``session_sequence``."""


class ChangedRows:
    """The rows of each write of a group. ``loaded`` is what it has begun with.

    Rows that have a number begin with it. A new one is ``None`` where the database gives it; it has to be in
    ``numbers`` before the rows that name it are asked for.
    """

    def __init__(self, changes: Changes, loaded: Loaded, numbers: Numbers, place: Place) -> None:
        self._changes = changes
        self._loaded = loaded
        self._numbers = numbers
        self._place = place
        put = sorted(changes.put_of(tables.SESSIONS), key=lambda record: record.key)
        self._created = {key: one for one in put if (key := (one.key, one.log_id)) not in numbers.logs}
        self._transient = {
            (one.session.tenant, one.request_id) for one in changes.events if one.event.transient
        }
        self._loaded_heads = loaded.of(tables.REQUEST_HEADS)
        if loaded.open_requests:
            found = chain.from_iterable(loaded.open_requests.values())
            self._loaded_heads = {head.key: head for head in found} | self._loaded_heads
        self._placed: dict[tuple[SessionKey, str, str], tuple[int, int | None]] = {}
        self._labels: LabelChanges | None = None

    def by_write(self, writes: Sequence[Write]) -> Iterator[tuple[int, list[Row]]]:
        """The places of the writes that have something to do, and their rows."""
        changes = self._changes
        touched = {*changes.new, *changes.changed, *changes.removed}
        if changes.events:
            touched.add(tables.EVENTS)
        for place, write in enumerate(writes):
            if write.of in touched and (found := list(write.rows(self))):
                yield place, found

    def unnumbered(self, table: Table[Any, Any]) -> list[Any]:
        """What the numbers of the table's new rows are known by, in the order of the rows."""
        if table is tables.SESSIONS:
            return [*self._created]
        return [table.key_of(record) for record in self._new(table)]

    def number(self, table: Table[Any, Any], taken: Iterable[int]) -> None:
        """The numbers of the table's new rows, in their order."""
        numbers = self._numbers
        known: dict[Any, dict[Any, int]] = {
            tables.SESSIONS: numbers.logs,
            tables.REQUESTS: numbers.requests,
            tables.STATES: numbers.states,
            tables.DOCUMENTS: numbers.documents,
        }
        known[table].update(zip(self.unnumbered(table), taken, strict=True))

    def _new(self, table: Table[Any, Record]) -> list[Record]:
        """By key, the order in which all processes insert what may meet another one's."""
        records = self._changes.new_of(table)
        if len(records) > 1:
            return sorted(records, key=lambda record: table.place(table.key_of(record)))
        return records

    def replaced_sessions(self) -> Iterable[Row]:
        loaded = self._loaded.of(tables.SESSIONS)
        for record in self._changes.changed_of(tables.SESSIONS):
            if self._is_created(record):
                yield self._log(loaded[record.key]), True

    def new_sessions(self) -> Iterable[Row]:
        for record in self._created.values():
            yield self._log(record), False, *columns.SESSION.values(record)

    def changed_sessions(self) -> Iterable[Row]:
        for record in self._changes.changed_of(tables.SESSIONS):
            if not self._is_created(record):
                yield self._log(record), *columns.SESSION_METADATA.values(record)

    def new_session_heads(self) -> Iterable[Row]:
        return [self._session_head(head) for head in self._session_heads() if self._is_created(head)]

    def changed_session_heads(self) -> Iterable[Row]:
        return [self._session_head(head) for head in self._session_heads() if not self._is_created(head)]

    def removed_labels(self) -> Iterable[Row]:
        return self._changed_labels().removed

    def new_labels(self) -> Iterable[Row]:
        return self._changed_labels().new

    def new_requests(self) -> Iterable[Row]:
        for record in self._new(tables.REQUESTS):
            head = record.head
            log = self._numbers.logs[head.session, head.session_log_id]
            yield self._numbers.requests.get(record.key), log, *columns.REQUEST.values(record)

    def new_request_heads(self) -> Iterable[Row]:
        for record in self._changes.new_of(tables.REQUESTS):
            head = record.head
            log = self._numbers.logs[head.session, head.session_log_id]
            yield *self._request_head(head), log

    def changed_request_heads(self) -> Iterable[Row]:
        changed = self._changes.changed_of(tables.REQUEST_HEADS)
        return [self._request_head(head) for head in changed if not self._has_only_moved(head)]

    def moved_request_heads(self) -> Iterable[Row]:
        """Of which nothing else has changed, as of all runs that emit: it leaves the indexes alone."""
        for head in self._changes.changed_of(tables.REQUEST_HEADS):
            if self._has_only_moved(head):
                yield self._numbers.requests[head.key], head.sequence, head.key in self._transient

    def new_outcomes(self) -> Iterable[Row]:
        for outcome in self._changes.new_of(tables.OUTCOMES):
            if _is_told(outcome):
                yield self._numbers.requests[outcome.key], *columns.OUTCOME.values(outcome)

    def new_turns(self) -> Iterable[Row]:
        return map(self._turn, self._changes.new_of(tables.TURNS))

    def changed_turns(self) -> Iterable[Row]:
        return map(self._turn, self._changes.changed_of(tables.TURNS))

    def removed_turns(self) -> Iterable[Row]:
        for session, log_id, number in self._changes.removed_of(tables.TURNS):
            yield self._numbers.logs[session, log_id], number

    def new_states(self) -> Iterable[Row]:
        return map(columns.STATE.values, self._new(tables.STATES))

    def changed_states(self) -> Iterable[Row]:
        for record in self._changes.changed_of(tables.STATES):
            parts = kept_parts_of(record, self._loaded)
            told = (None, None) if parts is None else (parts.base, parts.size)
            values = columns.STATE_VALUES.values(record if parts is None else without_text(record))
            yield self._numbers.states[record.key], *values, *told

    def removed_state_parts(self) -> Iterable[Row]:
        for record in self._changes.changed_of(tables.STATES):
            if replaces_parts(record, self._loaded):
                yield (self._numbers.states[record.key],)
        yield from self.removed_states()

    def new_state_parts(self) -> Iterable[Row]:
        for record in self._changes.changed_of(tables.STATES):
            text = new_part(record, self._loaded)
            if text is not None:
                yield self._numbers.states[record.key], record.version, text

    def removed_states(self) -> Iterable[Row]:
        return [(self._numbers.states[key],) for key in self._changes.removed_of(tables.STATES)]

    def new_processes(self) -> Iterable[Row]:
        return map(columns.PROCESS.values, self._new(tables.PROCESSES))

    def changed_processes(self) -> Iterable[Row]:
        return map(columns.PROCESS.values, self._changes.changed_of(tables.PROCESSES))

    def new_documents(self) -> Iterable[Row]:
        return map(columns.DOCUMENT.values, self._new(tables.DOCUMENTS))

    def changed_documents(self) -> Iterable[Row]:
        for document in self._changes.changed_of(tables.DOCUMENTS):
            yield self._numbers.documents[document.key], *columns.DOCUMENT_VALUES.values(document)

    def removed_documents(self) -> Iterable[Row]:
        return [(self._numbers.documents[key],) for key in self._changes.removed_of(tables.DOCUMENTS)]

    def new_events(self) -> Iterable[Row]:
        for record in self._changes.events:
            log, request = self._place_of(record)
            yield *self._place(log, record.session_sequence), request, *columns.EVENT.values(record)

    def new_items(self) -> Iterable[Row]:
        for record in self._changes.events:
            item = record.event.item
            if item is not None and record.event.type is EventType.ITEM_DONE:
                log, request = self._place_of(record)
                place = self._place(log, record.session_sequence)
                yield *place, request, record.time, *columns.ITEM.values(item)

    def removed_items(self) -> Iterable[Row]:
        for item in self._changes.new_of(tables.ITEM_REMOVALS):
            yield *self._in_log(*item.key), b"", b"", True

    def retold_items(self) -> Iterable[Row]:
        for item in self._changes.new_of(tables.ITEM_REMOVALS):
            for sequence, payload in item.retold:
                yield *self._in_log(item.key.session, item.key.log_id, sequence), payload

    def removed_deltas(self) -> Iterable[Row]:
        for item in self._changes.new_of(tables.ITEM_REMOVALS):
            for sequence in item.deltas:
                yield self._in_log(item.key.session, item.key.log_id, sequence)

    def emptied_inputs(self) -> Iterable[Row]:
        for request in self._changes.new_of(tables.EMPTIED_REQUESTS):
            yield self._numbers.requests[request.key], b""

    def emptied_outputs(self) -> Iterable[Row]:
        for request in self._changes.new_of(tables.EMPTIED_REQUESTS):
            failure = None if request.failure is None else encode_failure(request.failure)
            yield self._numbers.requests[request.key], None, failure

    def retold_requests(self) -> Iterable[Row]:
        for request in self._changes.new_of(tables.EMPTIED_REQUESTS):
            for sequence, payload in (*request.retold, (request.end, request.payload)):
                yield *self._in_log(request.session, request.session_log_id, sequence), payload

    def _in_log(self, session: SessionKey, log_id: str, sequence: int) -> Row:
        return self._place(self._numbers.logs[session, log_id], sequence)

    def _changed_labels(self) -> LabelChanges:
        if self._labels is None:
            self._labels = changed_labels(self._changes, self._loaded, self._numbers)
        return self._labels

    def _is_created(self, record: SessionRecord | SessionHead) -> bool:
        return (record.key, record.log_id) in self._created

    def _log(self, record: SessionRecord | SessionHead) -> int | None:
        return self._numbers.logs.get((record.key, record.log_id))

    def _session_heads(self) -> list[SessionHead]:
        return self._changes.put_of(tables.SESSION_HEADS)

    def _session_head(self, head: SessionHead) -> Row:
        return self._log(head), *columns.SESSION_HEAD.values(head)

    def _request_head(self, head: RequestHead) -> Row:
        *others, cancel_reason = columns.REQUEST_HEAD.values(head)
        return (
            self._numbers.requests[head.key],
            *others,
            cancel_reason if head.cancel_requested else None,
            head.key in self._transient,
        )

    def _has_only_moved(self, head: RequestHead) -> bool:
        before = self._loaded_heads[head.key]
        return (
            before.status is head.status
            and before.cancel_requested == head.cancel_requested
            and before.process == head.process
            and before.attempt == head.attempt
            and before.end_time == head.end_time
        )

    def _turn(self, turn: TurnRecord) -> Row:
        session, log_id, number = turn.key
        request = self._numbers.requests.get(RequestKey(session.tenant, turn.request_id))
        return self._numbers.logs[session, log_id], number, request, turn.first, turn.last

    def _place_of(self, record: EventRecord) -> tuple[int, int | None]:
        """The numbers of its log and of its request. Looked up once for the many events of a run."""
        known = record.session, record.session_log_id, record.request_id
        found = self._placed.get(known)
        if found is None:
            numbers = self._numbers
            log = numbers.logs[record.session, record.session_log_id]
            request = RequestKey(record.session.tenant, record.request_id)
            found = self._placed[known] = log, numbers.requests[request] if record.request_id else None
        return found


def _is_told(outcome: Outcome) -> bool:
    """Whether the outcome says more than the status does; only then it has a row."""
    return outcome.output is not None or outcome.failure is not None or bool(outcome.reason)


class Write(NamedTuple):
    """What is done to ``rows`` of a table where records ``of`` a table have changed.

    The rows have the columns ``key`` and ``names``. All processes go in one order about the ``ordered`` ones, which may
    meet another process's. Rows that are ``numbered`` get their numbers from whoever inserts them. What is ``noted`` in
    a row stays so once it is true.
    """

    of: Table[Any, Any]
    kind: Literal["new", "changed", "removed"]
    key: str
    names: str
    rows: Callable[[ChangedRows], Iterable[Row]]
    in_table: str = ""
    ordered: bool = False
    numbered: bool = False
    noted: str = ""

    @property
    def table(self) -> str:
        return self.in_table or self.of.name

    @property
    def columns(self) -> str:
        return ", ".join(names for names in (self.key, self.names) if names)


_SESSION_HEAD = columns.SESSION_HEAD.names
_REQUEST_HEAD = f"{columns.REQUEST_HEAD.names}, unswept"
_MOVED = "sequence, unswept"
_PROCESS = columns.PROCESS.names.removeprefix("process, ")
_TURN = "request, first, last"


def writes(place: str) -> tuple[Write, ...]:
    """All writes, in the order in which they are done. The columns ``place`` are what :class:`ChangedRows` is given
    for an event's log and ``session_sequence``."""
    rows = ChangedRows
    first = partial(Write, ordered=True, numbered=True)
    # Those that may meet another process's come first.
    return (
        Write(tables.SESSIONS, "changed", "log", "replaced", rows.replaced_sessions, ordered=True),
        first(tables.SESSIONS, "new", "log", f"replaced, {columns.SESSION.names}", rows.new_sessions),
        first(tables.REQUESTS, "new", "request", f"log, {columns.REQUEST.names}", rows.new_requests),
        first(tables.STATES, "new", "", columns.STATE.names, rows.new_states),
        Write(tables.PROCESSES, "new", "process", _PROCESS, rows.new_processes, ordered=True),
        first(tables.DOCUMENTS, "new", "", columns.DOCUMENT.names, rows.new_documents),
        # Those of rows that are locked, or that only this group knows of.
        Write(tables.SESSIONS, "changed", "log", columns.SESSION_METADATA.names, rows.changed_sessions),
        Write(tables.SESSIONS, "removed", LABEL_COLUMNS, "", rows.removed_labels, "session_labels"),
        Write(tables.SESSIONS, "new", LABEL_COLUMNS, "", rows.new_labels, "session_labels"),
        Write(tables.SESSION_HEADS, "new", "log", _SESSION_HEAD, rows.new_session_heads),
        Write(tables.SESSION_HEADS, "changed", "log", _SESSION_HEAD, rows.changed_session_heads),
        Write(
            tables.REQUESTS,
            "new",
            "request",
            f"{_REQUEST_HEAD}, log",
            rows.new_request_heads,
            "request_heads",
        ),
        Write(
            tables.REQUEST_HEADS,
            "changed",
            "request",
            _REQUEST_HEAD,
            rows.changed_request_heads,
            noted="unswept",
        ),
        Write(tables.REQUEST_HEADS, "changed", "request", _MOVED, rows.moved_request_heads, noted="unswept"),
        Write(tables.OUTCOMES, "new", "request", columns.OUTCOME.names, rows.new_outcomes),
        Write(tables.TURNS, "new", "log, number", _TURN, rows.new_turns),
        Write(tables.TURNS, "changed", "log, number", _TURN, rows.changed_turns),
        Write(tables.TURNS, "removed", "log, number", "", rows.removed_turns),
        Write(
            tables.STATES,
            "changed",
            "state",
            f"{columns.STATE_VALUES.names}, base, size",
            rows.changed_states,
        ),
        Write(tables.STATES, "removed", "state", "", rows.removed_states),
        Write(tables.STATES, "removed", "state", "", rows.removed_state_parts, "state_parts"),
        Write(tables.STATES, "new", "state, version", "text", rows.new_state_parts, "state_parts"),
        Write(tables.PROCESSES, "changed", "process", _PROCESS, rows.changed_processes),
        Write(tables.DOCUMENTS, "changed", "document", columns.DOCUMENT_VALUES.names, rows.changed_documents),
        Write(tables.DOCUMENTS, "removed", "document", "", rows.removed_documents),
        Write(tables.EVENTS, "new", place, f"request, {columns.EVENT.names}", rows.new_events),
        Write(tables.EVENTS, "new", place, f"request, time, {columns.ITEM.names}", rows.new_items, "items"),
        Write(tables.ITEM_REMOVALS, "changed", place, "content, name, removed", rows.removed_items, "items"),
        Write(tables.ITEM_REMOVALS, "changed", place, "payload", rows.retold_items, "events"),
        Write(tables.ITEM_REMOVALS, "removed", place, "", rows.removed_deltas, "events"),
        Write(tables.EMPTIED_REQUESTS, "changed", "request", "input", rows.emptied_inputs, "requests"),
        Write(
            tables.EMPTIED_REQUESTS, "changed", "request", "output, failure", rows.emptied_outputs, "outcomes"
        ),
        Write(tables.EMPTIED_REQUESTS, "changed", place, "payload", rows.retold_requests, "events"),
    )
