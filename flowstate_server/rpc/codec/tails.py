"""Tails: where they begin, and their frames."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from flowstate.v1 import event_service_pb2 as pb
from flowstate.v1.flow_service_pb2 import StreamActionResponse
from flowstate.v1.types_pb2 import (
    END_REASON_DELETED,
    END_REASON_REPLAY_DONE,
    END_REASON_TERMINAL,
    Cursor,
)
from flowstate_server.engine.calls.logs import (
    EVERYTHING,
    EndReason,
    EventFilter,
    EventList,
    EventQuery,
    LogCursor,
    TailBatch,
    TailCall,
    TailCaughtUp,
    TailEnded,
    TailFrame,
    TailHeartbeat,
    TailStarted,
    TailTrimmed,
)
from flowstate_server.model.clock import Seconds
from flowstate_server.model.events import EventType
from flowstate_server.model.ids import check_id
from flowstate_server.rpc.codec.audiences import decode_audience
from flowstate_server.rpc.codec.events import encode_event, serialize_event
from flowstate_server.rpc.codec.time import decode_seconds, encode_seconds
from flowstate_server.rpc.codec.wire_format import delimited, tag, varint
from flowstate_server.rpc.message_fields import invalid

_TYPES = frozenset(one.value for one in EventType)
_SHORTEST = Seconds(1e-3)
_BATCH = tag(pb.TailEventsResponse.DESCRIPTOR, "batch")
_TAIL = tag(StreamActionResponse.DESCRIPTOR, "tail")
_EVENTS = tag(pb.EventBatch.DESCRIPTOR, "events")
_REASONS = {
    EndReason.TERMINAL: END_REASON_TERMINAL,
    EndReason.DELETED: END_REASON_DELETED,
    EndReason.REPLAY_DONE: END_REASON_REPLAY_DONE,
}


def decode_event_query(request: pb.ListEventsRequest, limit: int) -> EventQuery:
    _check_log(request)
    return EventQuery(
        request_id=request.request_id,
        session_id=request.session_id,
        after=request.after_sequence,
        limit=limit,
        filter=decode_filter(request.filter),
    )


def decode_tail_call(request: pb.TailEventsRequest) -> TailCall:
    _check_log(request)
    return TailCall(
        request_id=request.request_id,
        session_id=request.session_id,
        cursor=LogCursor(request.after.log_id, request.after.sequence),
        latest=request.latest,
        heartbeat=decode_heartbeat(request.heartbeat_interval)
        if request.HasField("heartbeat_interval")
        else Seconds(0.0),
        replay_only=request.replay_only,
        filter=decode_filter(request.filter),
    )


def _check_log(request: pb.TailEventsRequest | pb.ListEventsRequest) -> None:
    log = request.WhichOneof("log")
    if log is None:
        raise invalid("log", "required", "must name a request or a session")
    check_id(log, getattr(request, log))


def decode_filter(filter: pb.EventFilter) -> EventFilter:
    """An unset one, and one that names nothing, narrow nothing."""
    if not filter.types and not filter.audience:
        return EVERYTHING
    # A tail keeps its types for as long as it is open. Of those that there are not, one says as much as all.
    types = _TYPES.intersection(filter.types) or frozenset(filter.types[:1])
    return EventFilter(types, decode_audience(filter.audience, "filter.audience"))


def decode_heartbeat(interval: Duration) -> Seconds:
    """Seconds, never 0, which is what stands for "not asked for"."""
    return max(decode_seconds(interval, "heartbeat_interval"), _SHORTEST)


def encode_event_list(listed: EventList) -> pb.ListEventsResponse:
    return pb.ListEventsResponse(
        events=[encode_event(event) for event in listed.events],
        cursor=encode_cursor(listed.cursor),
        end_of_log=listed.end_of_log,
    )


def serialize_frame(frame: TailFrame) -> bytes:
    """A serialized ``TailEventsResponse``."""
    if type(frame) is TailBatch:
        if not frame.serialized:
            frame.serialized.append(_serialize_batch(frame))
        return frame.serialized[0]
    return _encode_sign(frame).SerializeToString()


def serialize_streamed(frame: TailFrame) -> bytes:
    """A serialized ``StreamActionResponse`` with the frame."""
    return delimited(_TAIL, serialize_frame(frame))


def _serialize_batch(batch: TailBatch) -> bytes:
    pieces = [pb.EventBatch(after_sequence=batch.after).SerializeToString()]
    for record in batch.events:
        event = serialize_event(record)
        pieces += _EVENTS, varint(len(event)), event
    length = sum(map(len, pieces))
    cursor = pb.TailEventsResponse(cursor=encode_cursor(batch.cursor)).SerializeToString()
    return b"".join((cursor, _BATCH, varint(length), *pieces))


def _encode_sign(frame: TailFrame) -> pb.TailEventsResponse:
    """A frame without events."""
    wire = pb.TailEventsResponse(cursor=encode_cursor(frame.cursor))
    match frame:
        case TailStarted():
            wire.started.earliest_sequence = frame.earliest
            wire.started.latest_sequence = frame.latest
            wire.started.heartbeat_interval.CopyFrom(encode_seconds(frame.heartbeat))
        case TailTrimmed():
            wire.trimmed.first = frame.first
            wire.trimmed.last = frame.last
        case TailCaughtUp():
            wire.caught_up.SetInParent()
        case TailHeartbeat():
            wire.heartbeat.latest_sequence = frame.latest
        case TailEnded():
            wire.ended.final_sequence = frame.final
            wire.ended.reason = _REASONS[frame.reason]
    return wire


def encode_cursor(cursor: LogCursor) -> Cursor:
    return Cursor(log_id=cursor.log_id, sequence=cursor.sequence)
