"""Records <-> the members of their files. The names of members are stored: never change one."""

from __future__ import annotations

from typing import Any, TypeVar

from flowstate_server.model.events import Event, EventRecord, EventType
from flowstate_server.model.items import Audience, Item, ItemKind, ItemRecord
from flowstate_server.model.json_values import EMPTY_OBJECT, Json
from flowstate_server.model.records import (
    Failure,
    IdempotencyKey,
    IdempotencyRecord,
    ProcessRecord,
    RequestHead,
    RequestRecord,
    RequestStatus,
    SessionHead,
    SessionRecord,
    StateHead,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.stores.filesystem.documents import Document

Members = dict[str, Json | bytes]
T = TypeVar("T")


# --- sessions -----------------------------------------------------------------------------------------------------


def session_members(record: SessionRecord) -> Members:
    return {
        "tenant": record.key.tenant,
        "session_id": record.key.session_id,
        "log_id": record.log_id,
        "flow_kind": record.flow_kind,
        "user_id": record.user_id,
        "org_id": record.org_id,
        "ephemeral": record.ephemeral,
        "create_time": record.create_time,
        "update_time": record.update_time,
        "delete_time": record.delete_time,
        "version": record.version,
        "title": record.title,
        "description": record.description,
        "tags": list(record.tags),
        "metadata": record.metadata,
    }


def session_record(found: Document) -> SessionRecord:
    return SessionRecord(
        SessionKey(found["tenant"], found["session_id"]),
        found["log_id"],
        found["flow_kind"],
        found["user_id"],
        found["org_id"],
        found["ephemeral"],
        found["create_time"],
        found["update_time"],
        found["version"],
        found["title"],
        found["description"],
        tuple(found["tags"]),
        found["metadata"],
        found["delete_time"],
    )


def counters_members(head: SessionHead) -> Members:
    return {
        "tenant": head.key.tenant,
        "session_id": head.key.session_id,
        "log_id": head.log_id,
        "sequence": head.sequence,
        "turns": head.turns,
        "activity_time": head.activity_time,
    }


def session_head(found: Document) -> SessionHead:
    key = SessionKey(found["tenant"], found["session_id"])
    return SessionHead(key, found["log_id"], found["sequence"], found["turns"], found["activity_time"])


# --- requests -----------------------------------------------------------------------------------------------------


def request_members(record: RequestRecord) -> Members:
    head, failure = record.head, record.failure
    members: Members = {
        "tenant": head.key.tenant,
        "request_id": head.key.request_id,
        "session_tenant": head.session.tenant,
        "session_id": head.session.session_id,
        "session_log_id": head.session_log_id,
        "log_id": head.log_id,
        "user_id": head.user_id,
        "org_id": record.org_id,
        "flow_kind": record.flow_kind,
        "action": record.action,
        "fingerprint": head.fingerprint,
        "process": head.process,
        "status": head.status,
        "create_time": head.create_time,
        "end_time": head.end_time,
        "cancel_requested": head.cancel_requested,
        "cancel_reason": head.cancel_reason,
        "sequence": head.sequence,
        "turn": head.turn,
        "scopes": [[key.kind, key.tenant, key.id, key.flow_kind] for key in record.scopes],
        "input": record.input,
    }
    if record.output is not None:
        members["output"] = record.output
    if failure is not None:
        members["failure"] = {
            "reason": failure.reason,
            "message": failure.message,
            "details": failure.details,
            "error_id": failure.error_id,
            "retryable": failure.retryable,
        }
    return members


def request_head(found: Document) -> RequestHead:
    return RequestHead(
        RequestKey(found["tenant"], found["request_id"]),
        SessionKey(found["session_tenant"], found["session_id"]),
        found["session_log_id"],
        found["log_id"],
        found["user_id"],
        found["fingerprint"],
        found["process"],
        RequestStatus(found["status"]),
        found["create_time"],
        found["cancel_requested"],
        found["cancel_reason"],
        found["sequence"],
        found["turn"],
        found["end_time"],
    )


def request_record(found: Document, head: RequestHead) -> RequestRecord:
    """``head`` is the newest: a running request's file is not written for every event."""
    failure = found.get("failure", None)
    return RequestRecord(
        head,
        found["flow_kind"],
        found["action"],
        found["org_id"],
        tuple(ScopeKey(ScopeKind(kind), *rest) for kind, *rest in found["scopes"]),
        _required(found.text("input")),
        found.text("output"),
        None if failure is None else Failure(**failure),
    )


# --- states -------------------------------------------------------------------------------------------------------


def state_members(record: StateRecord) -> Members:
    return {
        "scope": record.key.kind,
        "tenant": record.key.tenant,
        "id": record.key.id,
        "flow_kind": record.key.flow_kind,
        "version": record.version,
        "incarnation": record.incarnation,
        "exists": record.exists,
        "create_time": record.create_time,
        "update_time": record.update_time,
        "state": record.text,
    }


def state_head(found: Document) -> StateHead:
    key = ScopeKey(ScopeKind(found["scope"]), found["tenant"], found["id"], found["flow_kind"])
    return StateHead(key, found["version"], found["incarnation"], found["exists"])


def state_record(found: Document) -> StateRecord:
    head, text = state_head(found), _required(found.text("state"))
    times = found["create_time"], found["update_time"]
    return StateRecord(head.key, head.version, head.incarnation, head.exists, text, *times)


# --- events -------------------------------------------------------------------------------------------------------


def event_members(record: EventRecord) -> Members:
    event, item = record.event, record.event.item
    members: Members = {
        "session_sequence": record.session_sequence,
        "time": record.time,
        "type": event.type,
        "audiences": _names(event.audiences),
    }
    if record.request_id:
        members |= {"request_id": record.request_id, "sequence": record.sequence}
    if event.transient:
        members["transient"] = True
    if event.block_path:
        members["block_path"] = list(event.block_path)
    if event.payload != EMPTY_OBJECT:
        members["payload"] = event.payload
    if item is not None:
        members["item"] = {
            "item_id": item.item_id,
            "kind": item.kind,
            "index": item.index,
            "role": item.role,
            "name": item.name,
            "audiences": _names(item.audiences),
        }
        members["content"] = item.content
    return members


def event_record(found: Document, session: SessionKey, log_id: str) -> EventRecord:
    payload = found.text("payload")
    event = Event(
        EventType(found["type"]),
        EMPTY_OBJECT if payload is None else payload,
        _audiences(found["audiences"]),
        found.get("transient", False),
        tuple(found.get("block_path", ())),
        _item(found),
    )
    request_id, sequence = found.get("request_id", ""), found.get("sequence", 0)
    return EventRecord(event, session, log_id, found["session_sequence"], request_id, sequence, found["time"])


def item_record(record: EventRecord) -> ItemRecord:
    """The item that an event carries."""
    return ItemRecord(
        _required(record.event.item),
        record.session,
        record.session_log_id,
        record.request_id,
        record.session_sequence,
        record.time,
    )


def _item(found: Document) -> Item | None:
    item = found.get("item", None)
    if item is None:
        return None
    kind, audiences = ItemKind(item["kind"]), _audiences(item["audiences"])
    content = _required(found.text("content"))
    return Item(item["item_id"], kind, item["index"], content, item["role"], item["name"], audiences)


def _names(audiences: frozenset[Audience]) -> list[Json]:
    return [*sorted(audiences)]


def _audiences(names: list[str]) -> frozenset[Audience]:
    return frozenset(Audience(name) for name in names)


# --- processes, repeats -------------------------------------------------------------------------------------------


def process_members(record: ProcessRecord) -> Members:
    return {
        "process": record.process,
        "lease": record.lease,
        "renew_time": record.renew_time,
        "fenced": record.fenced,
    }


def process_record(found: Document) -> ProcessRecord:
    return ProcessRecord(found["process"], found["lease"], found["renew_time"], found["fenced"])


def key_members(record: IdempotencyRecord) -> Members:
    key = record.key
    return {
        "tenant": key.tenant,
        "principal": key.principal,
        "method": key.method,
        "key": key.key,
        "fingerprint": record.fingerprint,
        "expire_time": record.expire_time,
        "reply": record.reply,
    }


def key_record(found: Document) -> IdempotencyRecord:
    key = IdempotencyKey(*(_text(found[name]) for name in ("tenant", "principal", "method", "key")))
    return IdempotencyRecord(key, found["fingerprint"], _required(found.text("reply")), found["expire_time"])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a part of a key is no text")
    return value


def _required(value: T | None) -> T:
    if value is None:
        raise ValueError("a part is missing")
    return value
