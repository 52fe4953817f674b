"""Writing what a group has changed, in one statement: new rows by INSERT, known ones by UPDATE."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from flowstate_server.model.events import EventType
from flowstate_server.model.records import RequestHead, SessionRecord
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.storage import Changes
from flowstate_server.stores.postgres import rows
from flowstate_server.stores.postgres.numbers import NumberSource
from flowstate_server.stores.postgres.rows import Row
from flowstate_server.stores.postgres.statements import RowsWrite, WriteTexts, columns


def _insert(table: str, columns: str, *, ordered: bool = False) -> RowsWrite:
    names = ", ".join(column.split()[0] for column in columns.split(", "))
    after = " {after} RETURNING 1" if ordered else ""
    text = f"INSERT INTO flowstate.{table} ({names}) SELECT {names} FROM {{rows}}{after}"
    return RowsWrite(f"new_{table}", text, columns)


def _update(table: str, key: str, columns: str) -> RowsWrite:
    names = [column.split()[0] for column in columns.split(", ")]
    values = ", ".join(f"{name} = new.{name}" for name in names if name != key)
    text = f"UPDATE flowstate.{table} old SET {values} FROM {{rows}} WHERE old.{key} = new.{key}"
    return RowsWrite(f"changed_{table}", text, columns)


_BINDING = (
    "log bigint, replaced boolean, tenant text, session_id text, log_id text, ephemeral boolean, flow_kind text,"
    " user_id text, org_id text, create_time bigint, "
)
_METADATA = (
    "update_time bigint, delete_time bigint, version bigint, title bytea, description bytea, tags bytea,"
    " metadata bytea"
)
_SESSION_HEAD = "log bigint, sequence bigint, turns bigint, activity_time bigint"
_REQUEST_HEAD = (
    "request bigint, status smallint, process text, cancel_reason bytea, sequence bigint, turn bigint,"
    " end_time bigint, unswept boolean"
)
_STATE = (
    "version bigint, incarnation text, present boolean, create_time bigint, update_time bigint, text bytea"
)

WRITES = (
    # Those that may meet another process's, in the order in which all processes go about them, each by key.
    RowsWrite(
        "replaced_sessions",
        "UPDATE flowstate.sessions old SET replaced = true FROM {rows} WHERE old.tenant = new.tenant"
        " AND old.session_id = new.session_id AND NOT old.replaced {after} RETURNING 1",
        "tenant text, session_id text",
    ),
    _insert("sessions", _BINDING + _METADATA, ordered=True),
    _insert(
        "requests",
        "request bigint, tenant text, request_id text, log_id text, user_id text, org_id text, fingerprint bytea,"
        " flow_kind text, action text, create_time bigint, scopes bytea, input bytea",
        ordered=True,
    ),
    _insert("states", f"kind smallint, tenant text, id text, flow_kind text, {_STATE}", ordered=True),
    _insert("processes", "process text, lease bigint, renew_time bigint, fenced boolean", ordered=True),
    _insert(
        "idempotency_keys",
        "tenant text, principal text, method text, key text, fingerprint bytea, reply bytea, expire_time bigint",
        ordered=True,
    ),
    # Those of rows that are locked, or that only this group knows of.
    _update("sessions", "log", f"log bigint, {_METADATA}"),
    _insert("session_heads", _SESSION_HEAD),
    _update("session_heads", "log", _SESSION_HEAD),
    _insert("request_heads", f"{_REQUEST_HEAD}, log bigint"),
    RowsWrite(
        "changed_request_heads",
        "UPDATE flowstate.request_heads old SET status = new.status, process = new.process,"
        " cancel_reason = new.cancel_reason, sequence = new.sequence, turn = new.turn, end_time = new.end_time,"
        " unswept = old.unswept OR new.unswept FROM {rows} WHERE old.request = new.request",
        _REQUEST_HEAD,
    ),
    _insert("outcomes", "request bigint, output bytea, failure bytea"),
    _update("states", "state", f"state bigint, {_STATE}"),
    RowsWrite(
        "removed_states",
        "DELETE FROM flowstate.states old USING {rows} WHERE old.state = new.state",
        "state bigint",
    ),
    _insert(
        "events",
        "log bigint, session_sequence bigint, request bigint, sequence bigint, time bigint, type smallint,"
        " audiences smallint, transient boolean, block_path bytea, payload bytea",
    ),
    _insert(
        "items",
        "log bigint, session_sequence bigint, request bigint, time bigint, item_index bigint, kind smallint,"
        " audiences smallint, item_id bytea, role bytea, name bytea, content bytea",
    ),
    _update("processes", "process", "process text, lease bigint, renew_time bigint, fenced boolean"),
    _update(
        "idempotency_keys",
        "number",
        "number bigint, fingerprint bytea, reply bytea, expire_time bigint",
    ),
    RowsWrite(
        "new_commits",
        "INSERT INTO flowstate.commits (token, time, topics) SELECT token, time, topics FROM {rows} RETURNING id",
        "token bigint, time bigint, topics bytea",
    ),
)

_TEXTS = WriteTexts(WRITES, "SELECT (SELECT id FROM new_commits), pg_current_xact_id()::text::bigint")
_PLACES = {write.name: place for place, write in enumerate(WRITES)}
_WIDTHS = [write.columns.count(",") + 1 for write in WRITES]


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

    async def write(self, connection: Any, changes: Changes, numbers: rows.Numbers) -> Written:
        """Write all of ``changes``, which are not empty."""
        made_anew = [record for record in changes.changed_sessions if not _known(record, numbers)]
        created = [*changes.new_sessions, *made_anew]
        if created:
            for record, log in zip(created, await self._logs.take(connection, len(created)), strict=True):
                numbers.logs[record.key, record.log_id] = log
        if changes.new_requests:
            taken = await self._requests.take(connection, len(changes.new_requests))
            for request, number in zip(changes.new_requests, taken, strict=True):
                numbers.requests[request.key] = number
        token = random.getrandbits(63)
        text, values = write_query(changes, numbers, created, token)
        [(commit, transaction)] = await connection.fetch(text, *values)
        return Written(commit, token, transaction)


def write_query(
    changes: Changes, numbers: rows.Numbers, created: list[SessionRecord], token: int
) -> tuple[str, list[Any]]:
    """The statement that writes ``changes``, and its values."""
    writing = _Writing(changes, numbers, created)
    writing.gather()
    writing.put("new_commits", [(token, changes.time, rows.encode_topics(changes.topics))])
    chosen = tuple(sorted(writing.rows))
    values = [column for place in chosen for column in columns(writing.rows[place], _WIDTHS[place])]
    return _TEXTS.text(chosen), values


def _known(record: SessionRecord, numbers: rows.Numbers) -> bool:
    return (record.key, record.log_id) in numbers.logs


class _Writing:
    """The rows of each write, by its place."""

    def __init__(self, changes: Changes, numbers: rows.Numbers, created: list[SessionRecord]) -> None:
        self.rows: dict[int, list[Row]] = {}
        self._changes = changes
        self._numbers = numbers
        self._created = {(record.key, record.log_id): record for record in created}

    def put(self, name: str, found: list[Row]) -> None:
        if found:
            self.rows[_PLACES[name]] = found

    def gather(self) -> None:
        self._sessions()
        self._session_heads()
        self._requests()
        self._outcomes()
        self._states()
        self._events()
        self._processes()
        self._keys()

    def _sessions(self) -> None:
        changed = self._changes.changed_sessions
        again = [record for record in changed if (record.key, record.log_id) in self._created]
        self.put("replaced_sessions", sorted(tuple(record.key) for record in again))
        created = sorted(self._created.values(), key=lambda record: record.key)
        self.put("new_sessions", [self._session(record) for record in created])
        kept = [record for record in changed if (record.key, record.log_id) not in self._created]
        self.put("changed_sessions", [(self._log(record), *_metadata(record)) for record in kept])

    def _session(self, record: SessionRecord) -> Row:
        return (
            self._log(record),
            False,
            *record.key,
            record.log_id,
            record.ephemeral,
            record.flow_kind,
            record.user_id,
            record.org_id,
            record.create_time,
            *_metadata(record),
        )

    def _log(self, record: SessionRecord) -> int:
        return self._numbers.logs[record.key, record.log_id]

    def _session_heads(self) -> None:
        heads = self._changes.new_session_heads + self._changes.changed_session_heads
        created = dict.fromkeys(self._created, (0, 0, 0))
        changed: list[Row] = []
        for head in heads:
            values = (head.sequence, head.turns, head.activity_time)
            if (head.key, head.log_id) in created:
                created[head.key, head.log_id] = values
            else:
                changed.append((self._numbers.logs[head.key, head.log_id], *values))
        logs = self._numbers.logs
        self.put("new_session_heads", [(logs[session], *values) for session, values in created.items()])
        self.put("changed_session_heads", changed)

    def _requests(self) -> None:
        changes, numbers = self._changes, self._numbers
        if not (changes.new_requests or changes.changed_requests):
            return
        unswept = {
            RequestKey(record.session.tenant, record.request_id)
            for record in changes.events
            if record.event.transient
        }
        new = sorted(changes.new_requests, key=lambda record: record.key)
        self.put(
            "new_requests",
            [
                (
                    numbers.requests[record.key],
                    *record.key,
                    record.head.log_id,
                    record.head.user_id,
                    record.org_id,
                    record.head.fingerprint.encode(),
                    record.flow_kind,
                    record.action,
                    record.head.create_time,
                    rows.encode_scopes(record.scopes),
                    record.input,
                )
                for record in new
            ],
        )
        heads = [record.head for record in new]
        self.put(
            "new_request_heads",
            [
                (*self._request_head(head, unswept), numbers.logs[head.session, head.session_log_id])
                for head in heads
            ],
        )
        changed = [self._request_head(head, unswept) for head in changes.changed_requests]
        self.put("changed_request_heads", changed)

    def _request_head(self, head: RequestHead, unswept: set[RequestKey]) -> Row:
        return (self._numbers.requests[head.key], *rows.request_head_values(head), head.key in unswept)

    def _outcomes(self) -> None:
        changes = self._changes
        ended = [(record.key, record.output, record.failure) for record in changes.new_requests]
        ended += [(outcome.request, outcome.output, outcome.failure) for outcome in changes.outcomes]
        self.put(
            "new_outcomes",
            [
                (self._numbers.requests[key], output, rows.encode_failure(failure))
                for key, output, failure in ended
                if output is not None or failure is not None
            ],
        )

    def _states(self) -> None:
        changes, numbers = self._changes, self._numbers.states
        new = [(*rows.state_key(record.key), *rows.state_values(record)) for record in changes.new_states]
        self.put("new_states", sorted(new, key=lambda row: row[:4]))
        changed = [(numbers[record.key], *rows.state_values(record)) for record in changes.changed_states]
        self.put("changed_states", changed)
        self.put("removed_states", [(numbers[key],) for key in changes.removed_states])

    def _events(self) -> None:
        events: list[Row] = []
        items: list[Row] = []
        for record in self._changes.events:
            log = self._numbers.logs[record.session, record.session_log_id]
            request = None
            if record.request_id:
                request = self._numbers.requests[RequestKey(record.session.tenant, record.request_id)]
            events.append(rows.event_values(record, log, request))
            if record.event.item is not None and record.event.type is EventType.ITEM_DONE:
                items.append(rows.item_values(record, record.event.item, log, request))
        self.put("new_events", events)
        self.put("new_items", items)

    def _processes(self) -> None:
        for name, records in (
            ("new_processes", self._changes.new_processes),
            ("changed_processes", self._changes.changed_processes),
        ):
            found = [(record.process, record.lease, record.renew_time, record.fenced) for record in records]
            self.put(name, sorted(found))

    def _keys(self) -> None:
        changes = self._changes
        new = [
            (*rows.idempotency_key(record.key), record.fingerprint.encode(), record.reply, record.expire_time)
            for record in changes.new_keys
        ]
        self.put("new_idempotency_keys", sorted(new, key=lambda row: row[:4]))
        replaced = [
            (
                self._numbers.idempotency_keys[record.key],
                record.fingerprint.encode(),
                record.reply,
                record.expire_time,
            )
            for record in changes.replaced_keys
        ]
        self.put("changed_idempotency_keys", replaced)


def _metadata(record: SessionRecord) -> Row:
    return (record.update_time, *rows.session_metadata(record))
