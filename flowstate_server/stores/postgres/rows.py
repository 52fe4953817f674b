"""Rows of the tables <-> records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from flowstate_server.model.events import Event, EventRecord
from flowstate_server.model.items import Item, ItemRecord
from flowstate_server.model.json_values import JsonObject, decode_json, encode_json
from flowstate_server.model.records import (
    IdempotencyKey,
    IdempotencyRecord,
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionHead,
    SessionRecord,
    StateRecord,
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
    decode_scopes,
    scope_key,
)

# --- numbers ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Numbers:
    """The integers that stand for sessions' incarnations, requests, states and idempotency keys."""

    logs: dict[tuple[SessionKey, str], int] = field(default_factory=dict)
    requests: dict[RequestKey, int] = field(default_factory=dict)
    states: dict[ScopeKey, int] = field(default_factory=dict)
    idempotency_keys: dict[IdempotencyKey, int] = field(default_factory=dict)


# --- sessions -----------------------------------------------------------------------------------------------------

SESSION = (
    "s.tenant, s.session_id, s.log_id, s.flow_kind, s.user_id, s.org_id, s.ephemeral, s.create_time, s.update_time, "
    "s.version, s.title, s.description, s.tags, s.metadata, s.delete_time"
)
SESSION_WIDTH = 15
SESSION_HEAD = "h.sequence, h.turns, h.activity_time"


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
        ephemeral,
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


def session_metadata(record: SessionRecord) -> Row:
    """``delete_time``, ``version`` and the metadata columns."""
    return (
        record.delete_time,
        record.version,
        record.title.encode(),
        record.description.encode(),
        encode_json(list(record.tags)) if record.tags else None,
        encode_json(record.metadata) if record.metadata else None,
    )


def session_head(key: SessionKey, log_id: str, row: Row) -> SessionHead:
    """From the columns ``SESSION_HEAD``."""
    sequence, turns, activity_time = row
    return SessionHead(key, log_id, sequence, turns, activity_time)


# --- requests -----------------------------------------------------------------------------------------------------

REQUEST_HEAD = (
    "h.request, h.log, r.tenant, r.request_id, s.tenant, s.session_id, s.log_id, r.log_id, r.user_id, r.fingerprint, "
    "h.process, h.status, r.create_time, h.cancel_reason, h.sequence, h.turn, h.end_time"
)
REQUEST_HEAD_WIDTH = 17
REQUEST_HEAD_FROM = (
    "flowstate.request_heads h JOIN flowstate.requests r ON r.request = h.request"
    " JOIN flowstate.sessions s ON s.log = h.log"
)
REQUEST_REST = "r.flow_kind, r.action, r.org_id, r.scopes"


def request_head(row: Row) -> RequestHead:
    """From the columns ``REQUEST_HEAD``."""
    _, _, tenant, request_id, session_tenant, session_id, session_log_id, log_id, user_id = row[:9]
    fingerprint, process, status, created, cancel_reason, sequence, turn, ended = row[9:REQUEST_HEAD_WIDTH]
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
        sequence,
        turn,
        ended,
    )


def request_record(
    row: Row, input: bytes = b"", output: bytes | None = None, failure: bytes | None = None
) -> RequestRecord:
    """From the columns ``REQUEST_HEAD`` and ``REQUEST_REST``."""
    flow_kind, action, org_id, scopes = row[REQUEST_HEAD_WIDTH:]
    return RequestRecord(
        request_head(row),
        flow_kind,
        action,
        org_id,
        decode_scopes(scopes),
        input,
        output,
        decode_failure(failure),
    )


def request_head_values(head: RequestHead) -> Row:
    """``status, process, cancel_reason, sequence, turn, end_time``."""
    return (
        STATUS_NUMBERS[head.status],
        head.process,
        head.cancel_reason.encode() if head.cancel_requested else None,
        head.sequence,
        head.turn,
        head.end_time,
    )


# --- states -------------------------------------------------------------------------------------------------------

STATE_KEY = "t.kind, t.tenant, t.id, t.flow_kind"
STATE = f"{STATE_KEY}, t.version, t.incarnation, t.present, t.create_time, t.update_time, t.text"


def state_record(row: Row) -> StateRecord:
    """From the columns ``STATE``."""
    version, incarnation, present, created, updated, text = row[4:]
    return StateRecord(scope_key(row[:4]), version, incarnation, present, text, created, updated)


def state_values(record: StateRecord) -> Row:
    """``version, incarnation, present, create_time, update_time, text``."""
    return (
        record.version,
        record.incarnation,
        record.exists,
        record.create_time,
        record.update_time,
        record.text,
    )


# --- events and items ---------------------------------------------------------------------------------------------

EVENT = "e.session_sequence, e.sequence, e.type, e.audiences, e.transient, e.time, e.block_path, e.payload"
EVENT_WIDTH = 8
ITEM = "i.item_index, i.kind, i.audiences, i.item_id, i.role, i.name, i.content"
ITEM_WIDTH = 7


def event_record(row: Row, session: SessionKey, log_id: str, request_id: str) -> EventRecord:
    """From the columns ``EVENT`` and ``ITEM``."""
    session_sequence, sequence, kind, audiences, transient, time, block_path, payload = row[:EVENT_WIDTH]
    event = Event(
        EVENTS[kind],
        payload,
        AUDIENCES[audiences],
        transient,
        () if block_path is None else tuple(cast(list[str], decode_json(block_path))),
        None if row[EVENT_WIDTH] is None else _item(row[EVENT_WIDTH : EVENT_WIDTH + ITEM_WIDTH]),
    )
    return EventRecord(event, session, log_id, session_sequence, request_id, sequence, time)


def event_values(record: EventRecord, log: int, request: int | None) -> Row:
    event = record.event
    return (
        log,
        record.session_sequence,
        request,
        record.sequence,
        record.time,
        EVENT_NUMBERS[event.type],
        AUDIENCE_SETS[event.audiences],
        event.transient,
        encode_json(list(event.block_path)) if event.block_path else None,
        event.payload,
    )


def item_record(row: Row, session: SessionKey, log_id: str) -> ItemRecord:
    """From ``i.session_sequence, i.time, r.request_id`` and the columns ``ITEM``."""
    session_sequence, time, request_id = row[:3]
    return ItemRecord(_item(row[3:]), session, log_id, request_id, session_sequence, time)


def item_values(record: EventRecord, item: Item, log: int, request: int | None) -> Row:
    return (
        log,
        record.session_sequence,
        request,
        record.time,
        item.index,
        ITEM_NUMBERS[item.kind],
        AUDIENCE_SETS[item.audiences],
        item.item_id.encode(),
        item.role.encode(),
        item.name.encode(),
        item.content,
    )


def _item(row: Row) -> Item:
    index, kind, audiences, item_id, role, name, content = row
    return Item(
        item_id.decode(), ITEMS[kind], index, content, role.decode(), name.decode(), AUDIENCES[audiences]
    )


# --- processes, repeats, topics -----------------------------------------------------------------------------------

PROCESS = "process, lease, renew_time, fenced"


def process_record(row: Row) -> ProcessRecord:
    process, lease, renew_time, fenced = row
    return ProcessRecord(process, lease, renew_time, fenced)


IDEMPOTENCY_KEY = "i.tenant, i.principal, i.method, i.key"
IDEMPOTENCY = f"{IDEMPOTENCY_KEY}, i.fingerprint, i.reply, i.expire_time"


def idempotency_record(row: Row) -> IdempotencyRecord:
    """From the columns ``IDEMPOTENCY``."""
    fingerprint, reply, expire_time = row[4:]
    return IdempotencyRecord(IdempotencyKey(*row[:4]), fingerprint.decode(), reply, expire_time)


def idempotency_key(key: IdempotencyKey) -> Row:
    return key.tenant, key.principal, key.method, key.key
