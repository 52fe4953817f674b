"""Rows of the tables <-> records.

Both databases have the same tables with the same columns, but that SQLite has one integer, a place, for an event's
log and ``session_sequence``. The column lists name tables by the letters that every query gives them: ``s`` sessions,
``c`` session_heads, ``r`` requests, ``h`` request_heads, ``o`` outcomes, ``t`` states, ``u`` turns, ``e`` events,
``i`` items, ``p`` processes, ``d`` documents. Ids are text; free text, which may hold U+0000, and JSON are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from flowstate_server.model.documents import Document, DocumentKey, decode_key, encode_key
from flowstate_server.model.events import Event, EventRecord, EventType, LogHead
from flowstate_server.model.items import Item, ItemRecord
from flowstate_server.model.json_values import JsonObject, decode_json, encode_json
from flowstate_server.model.records import (
    Outcome,
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionHead,
    SessionRecord,
    StateHead,
    StateRecord,
    TurnKey,
    TurnRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.reads import SessionPosition
from flowstate_server.stores.tables.numbers import (
    AUDIENCE_SETS,
    AUDIENCES,
    EVENT_NUMBERS,
    EVENTS,
    ITEM_NUMBERS,
    ITEMS,
    STATUS_NUMBERS,
    STATUSES,
    Row,
    decode_failure,
    decode_generations,
    decode_scopes,
    encode_failure,
    encode_generations,
    encode_scopes,
    scope_key,
    state_key,
)


@dataclass(slots=True)
class Numbers:
    """The integers that stand for sessions' incarnations and for requests, and those of the rows that were loaded."""

    logs: dict[tuple[SessionKey, str], int] = field(default_factory=dict)
    requests: dict[RequestKey, int] = field(default_factory=dict)
    states: dict[ScopeKey, int] = field(default_factory=dict)
    documents: dict[DocumentKey, int] = field(default_factory=dict)

    def log_of(self, event: EventRecord) -> int:
        return self.logs[event.session, event.session_log_id]

    def request_of(self, event: EventRecord) -> int | None:
        if not event.request_id:
            return None
        return self.requests[RequestKey(event.session.tenant, event.request_id)]


SESSION = (
    "s.tenant, s.session_id, s.log_id, s.flow_kind, s.user_id, s.org_id, s.ephemeral, s.create_time, s.update_time, "
    "s.version, s.title, s.description, s.tags, s.metadata, s.delete_time"
)
SESSION_WIDTH = 15


def session_record(row: Row) -> SessionRecord:
    """From the columns ``SESSION``."""
    tenant, session_id, log_id, flow_kind, user_id, org_id, ephemeral, created, updated = row[:9]
    version, title, description, tags, metadata, deleted = row[9:SESSION_WIDTH]
    return SessionRecord(
        SessionKey(tenant, session_id),
        log_id,
        flow_kind,
        user_id,
        org_id,
        bool(ephemeral),
        created,
        updated,
        version,
        title.decode(),
        description.decode(),
        () if tags is None else tuple(cast(list[str], decode_json(tags))),
        {} if metadata is None else cast(JsonObject, decode_json(metadata)),
        deleted,
    )


def session_key(row: Row) -> SessionKey:
    """From the columns ``SESSION``."""
    return SessionKey(*row[:2])


def listed_place(row: Row) -> SessionPosition:
    """Where in a list the session is, from the columns ``SESSION``."""
    return SessionPosition(row[7], row[1])


SESSION_BINDING = "tenant, session_id, log_id, ephemeral, flow_kind, user_id, org_id, create_time"


def session_binding(record: SessionRecord) -> Row:
    return (
        *record.key,
        record.log_id,
        record.ephemeral,
        record.flow_kind,
        record.user_id,
        record.org_id,
        record.create_time,
    )


SESSION_METADATA = "update_time, delete_time, version, title, description, tags, metadata"


def session_metadata(record: SessionRecord) -> Row:
    return (
        record.update_time,
        record.delete_time,
        record.version,
        record.title.encode(),
        record.description.encode(),
        encode_json(list(record.tags)) if record.tags else None,
        encode_json(record.metadata) if record.metadata else None,
    )


SESSION_HEAD = "c.sequence, c.turns, c.activity_time, c.floor"
SESSION_HEAD_WIDTH = 4


def session_head(key: SessionKey, log_id: str, row: Row) -> SessionHead:
    """From the columns ``SESSION_HEAD``."""
    sequence, turns, activity_time, floor = row
    return SessionHead(key, log_id, sequence, turns, activity_time, floor)


def session_head_values(head: SessionHead) -> Row:
    return head.sequence, head.turns, head.activity_time, head.floor


def session_log_head(record: SessionRecord, head: SessionHead) -> LogHead:
    return LogHead(record.log_id, head.sequence, record.deleted, head.floor)


REQUEST_HEAD = (
    "h.request, h.log, r.tenant, r.request_id, s.tenant, s.session_id, s.log_id, r.log_id, r.user_id, r.fingerprint, "
    "h.process, h.status, r.create_time, h.cancel_reason, h.attempt, h.sequence, h.end_time"
)
REQUEST_HEAD_WIDTH = 17


def request_head(row: Row) -> RequestHead:
    """From the columns ``REQUEST_HEAD``."""
    _, _, tenant, request_id, session_tenant, session_id, session_log_id, log_id, user_id = row[:9]
    fingerprint, process, status, created, cancel_reason, attempt, sequence, ended = row[9:REQUEST_HEAD_WIDTH]
    return RequestHead(
        RequestKey(tenant, request_id),
        SessionKey(session_tenant, session_id),
        session_log_id,
        log_id,
        user_id,
        fingerprint.decode(),
        process,
        STATUSES[status],
        created,
        cancel_reason is not None,
        "" if cancel_reason is None else cancel_reason.decode(),
        attempt,
        sequence,
        ended,
    )


REQUEST_HEAD_VALUES = "status, open, process, cancel_reason, attempt, sequence, end_time"


def request_head_values(head: RequestHead) -> Row:
    return (
        STATUS_NUMBERS[head.status],
        head.status.open,
        head.process,
        head.cancel_reason.encode() if head.cancel_requested else None,
        head.attempt,
        head.sequence,
        head.end_time,
    )


def request_log_head(head: RequestHead) -> LogHead:
    return LogHead(head.log_id, head.sequence, head.status.ended)


REQUEST_REST = "r.flow_kind, r.action, r.org_id, r.scopes, r.gate, r.timeout, r.trace, r.correlation_id"
OUTCOME = "o.output, o.failure, o.reason"
REQUEST = f"{REQUEST_HEAD}, {REQUEST_REST}, r.input, {OUTCOME}"


def request_record(
    row: Row,
    input: bytes = b"",
    output: bytes | None = None,
    failure: bytes | None = None,
    reason: bytes | None = None,
) -> RequestRecord:
    """From the columns ``REQUEST_HEAD`` and ``REQUEST_REST``."""
    flow_kind, action, org_id, scopes, gate, timeout, trace, correlation_id = row[REQUEST_HEAD_WIDTH:]
    return RequestRecord(
        request_head(row),
        flow_kind,
        action,
        org_id,
        decode_scopes(scopes),
        input,
        gate.decode(),
        timeout,
        trace.decode(),
        correlation_id.decode(),
        output,
        decode_failure(failure),
        "" if reason is None else reason.decode(),
    )


def whole_request(row: Row) -> RequestRecord:
    """From the columns ``REQUEST``."""
    return request_record(row[:-4], *row[-4:])


REQUEST_VALUES = (
    "tenant, request_id, log_id, user_id, org_id, fingerprint, flow_kind, action, create_time, scopes, gate, timeout,"
    " trace, correlation_id, input"
)


def request_values(record: RequestRecord) -> Row:
    head = record.head
    return (
        *head.key,
        head.log_id,
        head.user_id,
        record.org_id,
        head.fingerprint.encode(),
        record.flow_kind,
        record.action,
        head.create_time,
        encode_scopes(record.scopes),
        record.gate.encode(),
        record.timeout,
        record.trace.encode(),
        record.correlation_id.encode(),
        record.input,
    )


def outcome_values(outcome: Outcome) -> Row:
    """``output, failure, reason``."""
    return outcome.output, encode_failure(outcome.failure), outcome.reason.encode() or None


def is_told(outcome: Outcome) -> bool:
    """Whether the outcome says more than the status does; only then it has a row."""
    return outcome.output is not None or outcome.failure is not None or bool(outcome.reason)


def with_transient_events(events: Iterable[EventRecord]) -> set[RequestKey]:
    """The requests of which a sweep will have to look for transient events."""
    return {
        RequestKey(record.session.tenant, record.request_id)
        for record in events
        if record.event.transient and record.request_id
    }


TURN = "u.number, r.request_id, u.first, u.last"


def turn_record(row: Row, session: SessionKey, log_id: str) -> TurnRecord:
    """From the columns ``TURN``, where the request may be missing."""
    number, request_id, first, last = row
    return TurnRecord(TurnKey(session, log_id, number), request_id or "", first, last)


STATE_KEY = "t.kind, t.tenant, t.id, t.flow_kind"
STATE_HEAD = f"{STATE_KEY}, t.version, t.incarnation, t.present"
STATE = f"{STATE_HEAD}, t.create_time, t.update_time, t.generations, t.schema_hash, t.text"


def state_head(row: Row) -> StateHead:
    """From the columns ``STATE_HEAD``."""
    version, incarnation, present = row[4:7]
    return StateHead(scope_key(row[:4]), version, incarnation, bool(present))


def state_record(row: Row) -> StateRecord:
    """From the columns ``STATE``."""
    version, incarnation, present, created, updated, generations, schema_hash, text = row[4:]
    return StateRecord(
        scope_key(row[:4]),
        version,
        incarnation,
        bool(present),
        text,
        created,
        updated,
        decode_generations(generations),
        schema_hash,
    )


STATE_VALUES = "version, incarnation, present, create_time, update_time, generations, schema_hash, text"


def state_values(record: StateRecord) -> Row:
    return (
        record.version,
        record.incarnation,
        record.exists,
        record.create_time,
        record.update_time,
        encode_generations(record.generations),
        record.schema_hash,
        record.text,
    )


def state_row(record: StateRecord) -> Row:
    """The columns ``STATE`` of a record."""
    return (*state_key(record.key), *state_values(record))


EVENT = "e.sequence, e.type, e.audiences, e.transient, e.time, e.block_path, e.payload"
"""After ``session_sequence``, which each database has in its own way."""
EVENT_WIDTH = 8
ITEM = "i.item_index, i.kind, i.audiences, i.removed, i.item_id, i.role, i.name, i.content"
ITEM_WIDTH = 8


def event_record(row: Row, session: SessionKey, log_id: str, request_id: str) -> EventRecord:
    """From ``session_sequence`` and the columns ``EVENT`` and ``ITEM``."""
    session_sequence, sequence, kind, audiences, transient, time, block_path, payload = row[:EVENT_WIDTH]
    event = Event(
        EVENTS[kind],
        payload,
        AUDIENCES[audiences],
        bool(transient),
        () if block_path is None else tuple(cast(list[str], decode_json(block_path))),
        None if row[EVENT_WIDTH] is None else _item(row[EVENT_WIDTH : EVENT_WIDTH + ITEM_WIDTH]),
    )
    return EventRecord(event, session, log_id, session_sequence, request_id, sequence, time)


EVENT_VALUES = "request, sequence, time, type, audiences, transient, block_path, payload"


def event_values(record: EventRecord, request: int | None) -> Row:
    event = record.event
    return (
        request,
        record.sequence,
        record.time,
        EVENT_NUMBERS[event.type],
        AUDIENCE_SETS[event.audiences],
        event.transient,
        encode_json(list(event.block_path)) if event.block_path else None,
        event.payload,
    )


def item_of(event: Event) -> Item | None:
    """The item whose row goes with the event."""
    return event.item if event.type is EventType.ITEM_DONE else None


def item_record(row: Row, session: SessionKey, log_id: str) -> ItemRecord:
    """From ``session_sequence``, ``i.time``, ``r.request_id``, ``u.number`` and the columns ``ITEM``."""
    session_sequence, time, request_id, turn = row[:4]
    return ItemRecord(_item(row[4:]), session, log_id, request_id or "", session_sequence, time, turn)


ITEM_VALUES = "request, time, item_index, kind, audiences, removed, item_id, role, name, content"


def item_values(record: EventRecord, item: Item, request: int | None) -> Row:
    return (
        request,
        record.time,
        item.index,
        ITEM_NUMBERS[item.kind],
        AUDIENCE_SETS[item.audiences],
        item.removed,
        item.item_id.encode(),
        item.role.encode(),
        item.name.encode(),
        item.content,
    )


def _item(row: Row) -> Item:
    index, kind, audiences, removed, item_id, role, name, content = row
    return Item(
        item_id.decode(),
        ITEMS[kind],
        index,
        content,
        role.decode(),
        name.decode(),
        AUDIENCES[audiences],
        bool(removed),
    )


PROCESS = "p.process, p.lease, p.renew_time, p.fenced"


def process_record(row: Row) -> ProcessRecord:
    """From the columns ``PROCESS``."""
    process, lease, renew_time, fenced = row
    return ProcessRecord(process, lease, renew_time, bool(fenced))


def process_values(record: ProcessRecord) -> Row:
    return record.process, record.lease, record.renew_time, record.fenced


DOCUMENT = "d.key, d.version, d.incarnation, d.present, d.create_time, d.update_time, d.expire_time, d.text"


def document(row: Row) -> Document:
    """From the columns ``DOCUMENT``."""
    key, version, incarnation, present, created, updated, expire_time, text = row
    return Document(decode_key(key), version, incarnation, text, created, updated, expire_time, bool(present))


DOCUMENT_VALUES = "key, version, incarnation, present, create_time, update_time, expire_time, text"


def document_values(document: Document) -> Row:
    return (
        encode_key(document.key),
        document.version,
        document.incarnation,
        document.present,
        document.create_time,
        document.update_time,
        document.expire_time,
        document.text,
    )
