"""Events: from the JSON payloads of ``flowstate_server.model.events`` to the cases of ``Event.payload``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from google.protobuf.message import Message

from flowstate.v1 import events_pb2 as pb
from flowstate.v1.types_pb2 import (
    AUDIENCE_CLIENT,
    AUDIENCE_HISTORY,
    AUDIENCE_INTERNAL,
    Audience as WireAudience,
    Value,
)
from flowstate_server.model import payloads
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.items import Audience, Item
from flowstate_server.model.json_values import encode_json
from flowstate_server.rpc.codec.failures import encode_failure
from flowstate_server.rpc.codec.items import encode_item
from flowstate_server.rpc.codec.scopes import encode_scope_kind
from flowstate_server.rpc.codec.time import encode_micros, encode_time, set_time
from flowstate_server.rpc.codec.wire_format import delimited, tag, varint
from flowstate_server.rpc.json_values import encode_value

_AUDIENCE = {
    Audience.CLIENT: AUDIENCE_CLIENT,
    Audience.HISTORY: AUDIENCE_HISTORY,
    Audience.INTERNAL: AUDIENCE_INTERNAL,
}


def encode_event(record: EventRecord) -> pb.Event:
    return pb.Event.FromString(serialize_event(record))


def serialize_event(record: EventRecord) -> bytes:
    """A serialized ``Event``. Logs of thousands go to every tail, and to build the message first takes three times as
    long."""
    event = record.event
    payload, serialize = _PAYLOADS[event.type]
    said = serialize(record)
    event_id = f"{record.session_log_id}-{record.session_sequence}".encode()
    return b"".join(
        (
            _of_its_run(record.request_id, record.session.session_id),
            _of_its_kind(event.type, event.audiences, event.block_path, event.transient),
            _time(record.time),
            _SEQUENCE,
            varint(record.sequence),
            _SESSION_SEQUENCE,
            varint(record.session_sequence),
            _EVENT_ID,
            varint(len(event_id)),
            event_id,
            payload,
            varint(len(said)),
            said,
        )
    )


@lru_cache
def _of_its_run(request_id: str, session_id: str) -> bytes:
    return pb.Event(request_id=request_id, session_id=session_id).SerializeToString()


@lru_cache(1024)
def _of_its_kind(
    type: EventType, audiences: frozenset[Audience], block_path: tuple[str, ...], transient: bool
) -> bytes:
    return pb.Event(
        type=type.value, audience=_widest(audiences), block_path=block_path, transient=transient
    ).SerializeToString()


@lru_cache
def _time(moment: Micros) -> bytes:
    """That of all events of a commit."""
    wire = pb.Event()
    set_time(wire.time, moment)
    return wire.SerializeToString()


def _widest(audiences: frozenset[Audience]) -> WireAudience.ValueType:
    return next((wire for audience, wire in _AUDIENCE.items() if audience in audiences), AUDIENCE_INTERNAL)


def _request_created(record: EventRecord) -> Message:
    created = payloads.RequestCreated.decode(record.event.payload)
    return pb.RequestCreated(flow_kind=created.flow_kind, action=created.action)


def _request_queued(record: EventRecord) -> Message:
    queued = payloads.RequestQueued.decode(record.event.payload)
    return pb.RequestQueued(ahead=queued.ahead, expire_time=encode_time(queued.expire_time))


def _request_in_progress(record: EventRecord) -> Message:
    return pb.RequestInProgress(attempt=payloads.RequestInProgress.decode(record.event.payload).attempt)


def _request_completed(record: EventRecord) -> Message:
    completed = payloads.RequestCompleted.decode(record.event.payload)
    return pb.RequestCompleted(
        output=None if completed.output_omitted else encode_value(completed.output),
        elapsed=encode_micros(completed.elapsed),
        output_omitted=completed.output_omitted,
        scope_versions=_scope_versions(completed),
    )


def _request_failed(record: EventRecord) -> Message:
    failed = payloads.RequestFailed.decode(record.event.payload)
    return pb.RequestFailed(
        failure=encode_failure(failed.failure),
        elapsed=encode_micros(failed.elapsed),
        scope_versions=_scope_versions(failed),
    )


def _request_aborted(record: EventRecord) -> Message:
    aborted = payloads.RequestAborted.decode(record.event.payload)
    return pb.RequestAborted(reason=aborted.reason, scope_versions=_scope_versions(aborted))


def _request_interrupted(record: EventRecord) -> Message:
    interrupted = payloads.RequestInterrupted.decode(record.event.payload)
    return pb.RequestInterrupted(reason=interrupted.reason, scope_versions=_scope_versions(interrupted))


def _scope_versions(terminal: payloads.Terminal) -> list[pb.ScopeVersion]:
    return [
        pb.ScopeVersion(scope=encode_scope_kind(scope), version=version)
        for scope, version in terminal.scope_versions.items()
    ]


def _block_started(record: EventRecord) -> Message:
    return pb.BlockStarted(block_kind=payloads.BlockStarted.decode(record.event.payload).kind)


def _block_completed(record: EventRecord) -> Message:
    return pb.BlockCompleted(
        elapsed=encode_micros(payloads.BlockCompleted.decode(record.event.payload).elapsed)
    )


def _block_failed(record: EventRecord) -> Message:
    return pb.BlockFailed(failure=encode_failure(payloads.BlockFailed.decode(record.event.payload).failure))


def _model_usage(record: EventRecord) -> Message:
    used = payloads.ModelUsage.decode(record.event.payload)
    return pb.ModelUsage(
        provider=used.provider,
        model=used.model,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
    )


def _router_decided(record: EventRecord) -> Message:
    return pb.RouterDecided(route=payloads.RouterDecided.decode(record.event.payload).route)


def _item_added(record: EventRecord) -> Message:
    return pb.ItemAdded(item=_encode_item(record, payloads.ItemAdded.decode(record.event.payload).item))


def _item_done(record: EventRecord) -> Message:
    return pb.ItemDone(item=_encode_item(record, payloads.done_item(record.event)))


def _encode_item(record: EventRecord, item: Item) -> pb.Item:
    return encode_item(item, record.request_id, record.time)


def _item_removed(record: EventRecord) -> Message:
    return pb.ItemRemoved(item_id=payloads.ItemRemoved.decode(record.event.payload).item_id)


def _state_change(record: EventRecord) -> Message:
    change = payloads.StateChange.decode(record.event.payload)
    return pb.StateChange(
        scope=encode_scope_kind(change.scope),
        previous_version=change.previous_version,
        version=change.version,
        changed={pointer: encode_value(value) for pointer, value in change.changed.items()},
        removed=change.removed,
        stale=change.stale,
        owner_path=change.owner_path,
    )


def _resource_change(record: EventRecord) -> Message:
    change = payloads.ResourceChange.decode(record.event.payload)
    return pb.ResourceChange(
        scope=encode_scope_kind(change.scope),
        name=change.name,
        version=change.version,
        deleted=change.deleted,
        changed={pointer: encode_value(value) for pointer, value in change.changed.items()},
        previous_version=change.previous_version,
        removed=change.removed,
        stale=change.stale,
        stale_derived=change.stale_derived,
        content_changed=change.content_changed,
    )


def _session_metadata_changed(record: EventRecord) -> Message:
    change = payloads.SessionMetadataChanged.decode(record.event.payload)
    return pb.SessionMetadataChanged(paths=change.paths, version=change.version)


def _status(record: EventRecord) -> Message:
    status = payloads.Status.decode(record.event.payload)
    return pb.StatusUpdate(text=status.text, progress=status.progress)


def _serialize_item_delta(record: EventRecord) -> bytes:
    delta = payloads.ItemDelta.decode(record.event.payload)
    return (
        delimited(_DELTA_ITEM, delta.item_id.encode())
        + _DELTA_INDEX
        + varint(delta.index)
        + delimited(_DELTA_TEXT, delta.text.encode())
    )


def _serialize_custom(record: EventRecord) -> bytes:
    custom = payloads.Custom.decode(record.event.payload)
    name = delimited(_CUSTOM_NAME, custom.name.encode())
    if custom.data is None:
        return name
    return name + delimited(_CUSTOM_DATA, delimited(_VALUE_JSON, encode_json(custom.data)))


_ENCODERS: Mapping[EventType, tuple[str, Callable[[EventRecord], Message]]] = {
    EventType.REQUEST_CREATED: ("request_created", _request_created),
    EventType.REQUEST_QUEUED: ("request_queued", _request_queued),
    EventType.REQUEST_IN_PROGRESS: ("request_in_progress", _request_in_progress),
    EventType.REQUEST_COMPLETED: ("request_completed", _request_completed),
    EventType.REQUEST_FAILED: ("request_failed", _request_failed),
    EventType.REQUEST_ABORTED: ("request_aborted", _request_aborted),
    EventType.REQUEST_INTERRUPTED: ("request_interrupted", _request_interrupted),
    EventType.BLOCK_STARTED: ("block_started", _block_started),
    EventType.BLOCK_COMPLETED: ("block_completed", _block_completed),
    EventType.BLOCK_FAILED: ("block_failed", _block_failed),
    EventType.MODEL_USAGE: ("model_usage", _model_usage),
    EventType.ROUTER_DECIDED: ("router_decided", _router_decided),
    EventType.ITEM_ADDED: ("item_added", _item_added),
    EventType.ITEM_DONE: ("item_done", _item_done),
    EventType.ITEM_REMOVED: ("item_removed", _item_removed),
    EventType.STATE_CHANGE: ("state_change", _state_change),
    EventType.RESOURCE_CHANGE: ("resource_change", _resource_change),
    EventType.SESSION_METADATA_CHANGED: ("session_metadata_changed", _session_metadata_changed),
    EventType.STATUS: ("status_update", _status),
}


def _serializer(encode: Callable[[EventRecord], Message]) -> Callable[[EventRecord], bytes]:
    return lambda record: encode(record).SerializeToString()


_EVENT = pb.Event.DESCRIPTOR
_SEQUENCE, _SESSION_SEQUENCE = tag(_EVENT, "sequence"), tag(_EVENT, "session_sequence")
_EVENT_ID = tag(_EVENT, "event_id")
_DELTA_ITEM, _DELTA_INDEX, _DELTA_TEXT = (
    tag(pb.ItemDelta.DESCRIPTOR, field) for field in ("item_id", "index", "text")
)
_CUSTOM_NAME, _CUSTOM_DATA = (tag(pb.CustomEvent.DESCRIPTOR, field) for field in ("name", "data"))
_VALUE_JSON = tag(Value.DESCRIPTOR, "json")

_PAYLOADS: Mapping[EventType, tuple[bytes, Callable[[EventRecord], bytes]]] = {
    **{type: (tag(_EVENT, case), _serializer(encode)) for type, (case, encode) in _ENCODERS.items()},
    # Most events of a log are of these two.
    EventType.ITEM_DELTA: (tag(_EVENT, "item_delta"), _serialize_item_delta),
    EventType.CUSTOM: (tag(_EVENT, "custom"), _serialize_custom),
}
