"""Events: from the JSON payloads of ``flowstate_server.model.events`` to the cases of ``Event.payload``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from google.protobuf.message import Message

from flowstate.v1 import events_pb2 as pb
from flowstate.v1.types_pb2 import (
    AUDIENCE_CLIENT,
    AUDIENCE_HISTORY,
    AUDIENCE_INTERNAL,
    Audience as WireAudience,
    Failure as WireFailure,
)
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.items import Audience, Item
from flowstate_server.model.json_values import decode_json
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.rpc.codec.failures import encode_failure
from flowstate_server.rpc.codec.scopes import encode_scope_kind
from flowstate_server.rpc.codec.time import encode_micros, encode_time
from flowstate_server.rpc.json_values import encode_text, encode_value

_AUDIENCE = {
    Audience.CLIENT: AUDIENCE_CLIENT,
    Audience.HISTORY: AUDIENCE_HISTORY,
    Audience.INTERNAL: AUDIENCE_INTERNAL,
}
Payload = Mapping[str, Any]


def encode_event(record: EventRecord) -> pb.Event:
    event = record.event
    wire = pb.Event(
        sequence=record.sequence,
        request_id=record.request_id,
        session_id=record.session.session_id,
        time=encode_time(record.time),
        type=event.type.value,
        audience=_widest(event.audiences),
        block_path=event.block_path,
        event_id=f"{record.session_log_id}-{record.session_sequence}",
        session_sequence=record.session_sequence,
        transient=event.transient,
    )
    case, encode = _PAYLOADS[event.type]
    getattr(wire, case).CopyFrom(encode(record, decode_json(event.payload) if event.payload else {}))
    return wire


def _widest(audiences: Collection[Audience]) -> WireAudience.ValueType:
    return next((wire for audience, wire in _AUDIENCE.items() if audience in audiences), AUDIENCE_INTERNAL)


# --- requests


def _request_created(record: EventRecord, payload: Payload) -> Message:
    return pb.RequestCreated(flow_kind=payload["flow_kind"], action=payload["action"])


def _request_in_progress(record: EventRecord, payload: Payload) -> Message:
    return pb.RequestInProgress(attempt=payload["attempt"])


def _request_completed(record: EventRecord, payload: Payload) -> Message:
    return pb.RequestCompleted(
        output=encode_value(payload["output"]) if "output" in payload else None,
        elapsed=encode_micros(payload["elapsed"]),
        output_omitted=payload.get("output_omitted", False),
        scope_versions=_scope_versions(payload),
    )


def _request_failed(record: EventRecord, payload: Payload) -> Message:
    return pb.RequestFailed(
        failure=_failure(payload),
        elapsed=encode_micros(payload["elapsed"]),
        scope_versions=_scope_versions(payload),
    )


def _request_aborted(record: EventRecord, payload: Payload) -> Message:
    return pb.RequestAborted(reason=payload["reason"], scope_versions=_scope_versions(payload))


def _request_interrupted(record: EventRecord, payload: Payload) -> Message:
    return pb.RequestInterrupted(reason=payload["reason"], scope_versions=_scope_versions(payload))


def _scope_versions(payload: Payload) -> list[pb.ScopeVersion]:
    return [
        pb.ScopeVersion(scope=encode_scope_kind(ScopeKind(scope)), version=version)
        for scope, version in payload.get("scope_versions", {}).items()
    ]


def _failure(payload: Payload) -> WireFailure:
    return encode_failure(Failure(**payload["failure"]))


# --- blocks


def _block_started(record: EventRecord, payload: Payload) -> Message:
    return pb.BlockStarted(block_kind=payload["kind"])


def _block_completed(record: EventRecord, payload: Payload) -> Message:
    return pb.BlockCompleted(elapsed=encode_micros(payload["elapsed"]))


def _block_failed(record: EventRecord, payload: Payload) -> Message:
    return pb.BlockFailed(failure=_failure(payload))


# --- items


def _item_added(record: EventRecord, payload: Payload) -> Message:
    item = payload["item"]
    return pb.ItemAdded(
        item=pb.Item(
            item_id=item["item_id"],
            kind=item["kind"],
            role=item["role"],
            audiences=_encode_audiences([Audience(name) for name in item["audiences"]]),
            create_time=encode_time(record.time),
            request_id=record.request_id,
            index=item["index"],
            name=item["name"],
        )
    )


def _item_delta(record: EventRecord, payload: Payload) -> Message:
    return pb.ItemDelta(item_id=payload["item_id"], index=payload["index"], text=payload["text"])


def _item_done(record: EventRecord, payload: Payload) -> Message:
    item = record.event.item
    if item is None:
        raise TypeError("an item.done event without its item")
    return pb.ItemDone(item=_encode_item(record, item))


def _encode_item(record: EventRecord, item: Item) -> pb.Item:
    return pb.Item(
        item_id=item.item_id,
        kind=item.kind.value,
        role=item.role,
        content=encode_text(item.content),
        audiences=_encode_audiences(item.audiences),
        create_time=encode_time(record.time),
        request_id=record.request_id,
        index=item.index,
        name=item.name,
    )


def _encode_audiences(audiences: Collection[Audience]) -> list[WireAudience.ValueType]:
    return [_AUDIENCE[audience] for audience in (Audience.CLIENT, Audience.HISTORY) if audience in audiences]


# --- the others


def _state_change(record: EventRecord, payload: Payload) -> Message:
    return pb.StateChange(
        scope=encode_scope_kind(ScopeKind(payload["scope"])),
        previous_version=payload["previous_version"],
        version=payload["version"],
        changed={pointer: encode_value(value) for pointer, value in payload["changed"].items()},
        removed=payload["removed"],
        stale=payload["stale"],
    )


def _session_metadata_changed(record: EventRecord, payload: Payload) -> Message:
    return pb.SessionMetadataChanged(paths=payload["paths"], version=payload["version"])


def _status(record: EventRecord, payload: Payload) -> Message:
    return pb.StatusUpdate(text=payload["text"], progress=payload.get("progress"))


def _custom(record: EventRecord, payload: Payload) -> Message:
    data = payload.get("data")
    return pb.CustomEvent(name=payload["name"], data=None if data is None else encode_value(data))


_PAYLOADS: Mapping[EventType, tuple[str, Callable[[EventRecord, Any], Message]]] = {
    EventType.REQUEST_CREATED: ("request_created", _request_created),
    EventType.REQUEST_IN_PROGRESS: ("request_in_progress", _request_in_progress),
    EventType.REQUEST_COMPLETED: ("request_completed", _request_completed),
    EventType.REQUEST_FAILED: ("request_failed", _request_failed),
    EventType.REQUEST_ABORTED: ("request_aborted", _request_aborted),
    EventType.REQUEST_INTERRUPTED: ("request_interrupted", _request_interrupted),
    EventType.BLOCK_STARTED: ("block_started", _block_started),
    EventType.BLOCK_COMPLETED: ("block_completed", _block_completed),
    EventType.BLOCK_FAILED: ("block_failed", _block_failed),
    EventType.ITEM_ADDED: ("item_added", _item_added),
    EventType.ITEM_DELTA: ("item_delta", _item_delta),
    EventType.ITEM_DONE: ("item_done", _item_done),
    EventType.STATE_CHANGE: ("state_change", _state_change),
    EventType.SESSION_METADATA_CHANGED: ("session_metadata_changed", _session_metadata_changed),
    EventType.STATUS: ("status_update", _status),
    EventType.CUSTOM: ("custom", _custom),
}
