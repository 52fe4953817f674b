"""Watches: what to watch, and their frames."""

from __future__ import annotations

from flowstate.v1 import session_service_pb2 as pb
from flowstate.v1.types_pb2 import END_REASON_DELETED, Value
from flowstate_server.engine.calls.watches import (
    ShownScope,
    WatchCall,
    WatchChange,
    WatchEnded,
    WatchFrame,
    WatchHeartbeat,
    WatchStarted,
    WatchWhole,
)
from flowstate_server.model.clock import Seconds
from flowstate_server.rpc.codec.failures import encode_failure
from flowstate_server.rpc.codec.scopes import encode_scope_kind
from flowstate_server.rpc.codec.snapshots import decode_selectors, encode_active
from flowstate_server.rpc.codec.tails import decode_heartbeat, encode_cursor
from flowstate_server.rpc.codec.time import encode_seconds, encode_time


def decode_watch_call(request: pb.WatchSnapshotRequest) -> WatchCall:
    return WatchCall(
        session_id=request.session_id,
        selectors=decode_selectors(request.selectors),
        heartbeat=decode_heartbeat(request.heartbeat_interval)
        if request.HasField("heartbeat_interval")
        else Seconds(0.0),
    )


def encode_watch_frame(frame: WatchFrame) -> pb.WatchSnapshotResponse:
    wire = pb.WatchSnapshotResponse(cursor=encode_cursor(frame.cursor))
    match frame:
        case WatchStarted():
            wire.started.heartbeat_interval.CopyFrom(encode_seconds(frame.heartbeat))
        case WatchWhole():
            wire.snapshot.CopyFrom(_encode_whole(frame))
        case WatchChange():
            wire.change.CopyFrom(_encode_scope(frame.change))
        case WatchHeartbeat():
            wire.heartbeat.SetInParent()
        case WatchEnded():
            wire.ended.reason = END_REASON_DELETED
    return wire


def _encode_whole(whole: WatchWhole) -> pb.GetSnapshotResponse:
    return pb.GetSnapshotResponse(
        session_id=whole.session_id,
        scopes=[_encode_scope(scope) for scope in whole.scopes],
        active_requests=[encode_active(active) for active in whole.active],
        read_time=encode_time(whole.time),
        cursor=encode_cursor(whole.cursor),
    )


def _encode_scope(scope: ShownScope) -> pb.ScopeProjection:
    return pb.ScopeProjection(
        scope=encode_scope_kind(scope.scope),
        version=scope.version,
        values={name: Value(json=text) for name, text in scope.values.items()},
        failures={name: encode_failure(failure) for name, failure in scope.failures.items()},
        removed=scope.removed,
        resource_versions=scope.resource_versions,
    )
