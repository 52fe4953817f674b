"""Snapshots: what a flow shows of its state."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate.v1 import session_service_pb2 as pb
from flowstate_server.engine.calls.sessions import ActiveRequest, ScopeProjection, Selector, Snapshot
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.rpc.codec.failures import encode_failure
from flowstate_server.rpc.codec.scopes import decode_scope_kind, encode_scope_kind
from flowstate_server.rpc.codec.tails import encode_cursor
from flowstate_server.rpc.codec.time import encode_time
from flowstate_server.rpc.json_values import encode_value
from flowstate_server.rpc.message_fields import invalid


def decode_selectors(selectors: Sequence[pb.SnapshotSelector]) -> Sequence[Selector]:
    return [
        Selector(_decode_scope(selector, f"selectors[{index}]"), tuple(selector.names))
        for index, selector in enumerate(selectors)
    ]


def _decode_scope(selector: pb.SnapshotSelector, path: str) -> ScopeKind:
    kind = decode_scope_kind(selector.scope)
    if kind is None or kind is ScopeKind.REQUEST:
        raise invalid(f"{path}.scope", "scope", "must be SESSION, USER or ORG")
    return kind


def encode_snapshot(snapshot: Snapshot) -> pb.GetSnapshotResponse:
    return pb.GetSnapshotResponse(
        session_id=snapshot.session_id,
        scopes=[_encode_projection(scope) for scope in snapshot.scopes],
        active_requests=[encode_active(active) for active in snapshot.active],
        read_time=encode_time(snapshot.time),
        cursor=encode_cursor(snapshot.cursor),
    )


def encode_active(active: ActiveRequest) -> pb.ActiveRequest:
    return pb.ActiveRequest(request_id=active.request_id, cursor=encode_cursor(active.cursor))


def _encode_projection(scope: ScopeProjection) -> pb.ScopeProjection:
    return pb.ScopeProjection(
        scope=encode_scope_kind(scope.scope),
        version=scope.version,
        values={name: encode_value(value) for name, value in scope.values.items()},
        failures={name: encode_failure(failure) for name, failure in scope.failures.items()},
        resource_versions=scope.resource_versions,
    )
