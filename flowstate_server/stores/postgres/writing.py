"""Writing what a group has changed, in one statement: new rows by INSERT, known ones by UPDATE."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from flowstate_server.model.events import EventType
from flowstate_server.model.records import RequestHead, SessionRecord
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.tables import Changes
from flowstate_server.stores.postgres import rows
from flowstate_server.stores.postgres.numbers import NumberSource
from flowstate_server.stores.postgres.statements import columns
from flowstate_server.stores.postgres.write_statements import PLACES, TEXTS, WIDTHS
from flowstate_server.stores.tables.numbers import (
    Row,
    encode_failure,
    encode_scopes,
    encode_topics,
    state_key,
)


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
    writing.put("new_commits", [(token, changes.time, encode_topics(changes.topics))])
    chosen = tuple(sorted(writing.rows))
    values = [column for place in chosen for column in columns(writing.rows[place], WIDTHS[place])]
    return TEXTS.text(chosen), values


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
            self.rows[PLACES[name]] = found

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
                    encode_scopes(record.scopes),
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
                (self._numbers.requests[key], output, encode_failure(failure))
                for key, output, failure in ended
                if output is not None or failure is not None
            ],
        )

    def _states(self) -> None:
        changes, numbers = self._changes, self._numbers.states
        new = [(*state_key(record.key), *rows.state_values(record)) for record in changes.new_states]
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
