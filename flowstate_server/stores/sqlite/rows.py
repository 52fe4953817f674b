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
)

# --- places -------------------------------------------------------------------------------------------------------

_SEQUENCE_BITS = 32


def place_of(log: int, session_sequence: int) -> int:
    return log << _SEQUENCE_BITS | session_sequence


def sequence_at(place: int) -> int:
    """The session sequence of a place."""
    return place & ((1 << _SEQUENCE_BITS) - 1)


@dataclass(slots=True)
class Numbers:
    """The integers that stand for sessions' incarnations and for requests."""

    logs: dict[tuple[SessionKey, str], int] = field(default_factory=dict)
    requests: dict[RequestKey, int] = field(default_factory=dict)


# --- sessions -----------------------------------------------------------------------------------------------------

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
        title,
        description,
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
        record.title,
        record.description,
        encode_json(list(record.tags)) if record.tags else None,
        encode_json(record.metadata) if record.metadata else None,
    )


def session_head(key: SessionKey, log_id: str, row: Row) -> SessionHead:
    """From ``sequence, turns, activity_time``."""
    sequence, turns, activity_time = row
    return SessionHead(key, log_id, sequence, turns, activity_time)


def moved_session(row: Row, head: SessionHead) -> Row:
    """A row of ``log, sequence, turns, activity_time`` and ``SESSION`` after its head has moved."""
    return (row[0], head.sequence, head.turns, head.activity_time, *row[4:])


# --- requests -----------------------------------------------------------------------------------------------------

REQUEST_HEAD = (
    "h.request, h.log, r.tenant, r.request_id, s.tenant, s.session_id, s.log_id, r.log_id, r.user_id, r.fingerprint, "
    "h.process, h.status, r.create_time, h.cancel_reason, h.sequence, h.turn, h.end_time"
)
REQUEST_HEAD_WIDTH = 17
REQUEST_HEAD_FROM = (
    "request_heads h CROSS JOIN requests r ON r.request = h.request CROSS JOIN sessions s ON s.log = h.log"
)
REQUEST_HEAD_BY_KEY = (
    f"SELECT {REQUEST_HEAD} FROM requests r CROSS JOIN request_heads h ON h.request = r.request"
    " CROSS JOIN sessions s ON s.log = h.log WHERE r.tenant = ? AND r.request_id = ?"
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
        fingerprint,
        process,
        STATUSES[status],
        created,
        cancel_reason is not None,
        cancel_reason or "",
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
        head.cancel_reason if head.cancel_requested else None,
        head.sequence,
        head.turn,
        head.end_time,
    )


# --- states -------------------------------------------------------------------------------------------------------

STATE = "version, incarnation, present, text, create_time, update_time"


def state_record(key: ScopeKey, row: Row) -> StateRecord:
    """From the columns ``STATE``."""
    version, incarnation, present, text, created, updated = row
    return StateRecord(key, version, incarnation, bool(present), text, created, updated)


def state_values(record: StateRecord) -> Row:
    return (
        record.version,
        record.incarnation,
        record.exists,
        record.text,
        record.create_time,
        record.update_time,
    )


# --- events and items ---------------------------------------------------------------------------------------------

EVENT = "e.place, e.sequence, e.type, e.audiences, e.transient, e.time, e.block_path, e.payload"
ITEM = "i.item_index, i.kind, i.audiences, i.item_id, i.role, i.name, i.content"
_EVENT_WIDTH = 8


def event_record(row: Row, session: SessionKey, log_id: str, request_id: str) -> EventRecord:
    """From the columns ``EVENT`` and ``ITEM``."""
    place, sequence, kind, audiences, transient, time, block_path, payload = row[:_EVENT_WIDTH]
    event = Event(
        EVENTS[kind],
        payload,
        AUDIENCES[audiences],
        bool(transient),
        () if block_path is None else tuple(cast(list[str], decode_json(block_path))),
        None if row[_EVENT_WIDTH] is None else _item(row[_EVENT_WIDTH:]),
    )
    return EventRecord(event, session, log_id, sequence_at(place), request_id, sequence, time)


def event_values(record: EventRecord, place: int, request: int | None) -> Row:
    event = record.event
    return (
        place,
        request,
        record.sequence,
        EVENT_NUMBERS[event.type],
        AUDIENCE_SETS[event.audiences],
        event.transient,
        record.time,
        encode_json(list(event.block_path)) if event.block_path else None,
        event.payload,
    )


def item_record(row: Row, session: SessionKey, log_id: str) -> ItemRecord:
    """From ``e.place, e.time, r.request_id`` and the columns ``ITEM``."""
    place, time, request_id = row[:3]
    return ItemRecord(_item(row[3:]), session, log_id, request_id, sequence_at(place), time)


def item_values(item: Item, place: int, request: int | None) -> Row:
    return (
        place,
        request,
        item.index,
        ITEM_NUMBERS[item.kind],
        AUDIENCE_SETS[item.audiences],
        item.item_id,
        item.role,
        item.name,
        item.content,
    )


def _item(row: Row) -> Item:
    index, kind, audiences, item_id, role, name, content = row
    return Item(item_id, ITEMS[kind], index, content, role, name, AUDIENCES[audiences])


# --- processes, repeats, topics -----------------------------------------------------------------------------------

PROCESS = "process, lease, renew_time, fenced"


def process_record(row: Row) -> ProcessRecord:
    process, lease, renew_time, fenced = row
    return ProcessRecord(process, lease, renew_time, bool(fenced))


def idempotency_record(key: IdempotencyKey, row: Row) -> IdempotencyRecord:
    """From ``fingerprint, reply, expire_time``."""
    fingerprint, reply, expire_time = row
    return IdempotencyRecord(key, fingerprint, reply, expire_time)
