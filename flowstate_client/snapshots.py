"""What a flow shows of a session, its user and its org."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import orjson

from flowstate.v1 import session_service_pb2, session_service_pb2_grpc, types_pb2
from flowstate_client.arguments import identifier, mapping, texts
from flowstate_client.calls import Caller
from flowstate_client.codec import Codec
from flowstate_client.models import Cursor, Failure, Scope, plain_time

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """What a flow shows to clients, at one moment.

    Attributes:
        session_id: The session.
        client_data: ``{"session": {name: value}, "user": {...}, "org": {...}}`` as the model asked for; single
            resources are among the names.
        versions: The version of each scope's record; 0 if it was never written.
        failures: Derived values that could not be computed, by scope and name.
        active_requests: Running requests, each with the cursor behind which to follow it.
        cursor: The end of the session's log that the view is true for.
        read_time: When it was read.
        resource_versions: The versions of the resources in the data, by scope and name.
    """

    session_id: str
    client_data: T
    versions: Mapping[Scope, int]
    failures: Mapping[Scope, Mapping[str, Failure]]
    active_requests: Mapping[str, Cursor]
    cursor: Cursor
    read_time: datetime | None
    resource_versions: Mapping[Scope, Mapping[str, int]] = field(default_factory=dict)


async def read_snapshot(
    caller: Caller,
    session_id: str,
    *,
    model: Any = Any,
    names: Mapping[Scope, Sequence[str]] | None = None,
    timeout: float | None = None,
) -> Snapshot[Any]:
    """See :meth:`flowstate_client.Sessions.snapshot`."""
    stub = session_service_pb2_grpc.SessionServiceStub(caller.channels.unary)
    request = session_service_pb2.GetSnapshotRequest(
        session_id=identifier(session_id, "session_id"), selectors=selectors(names)
    )
    method = "SessionService/GetSnapshot"
    response = await caller.read(method, stub.GetSnapshot, request, timeout=timeout)
    return snapshot_of(response, caller.codec, model)


def snapshot_of(response: session_service_pb2.GetSnapshotResponse, codec: Codec, model: Any) -> Snapshot[Any]:
    """The snapshot of a ``flowstate.v1.GetSnapshotResponse``.

    Raises:
        ResponseValidationError: the data does not fit ``model``.
    """
    projections = {Scope.from_proto(projection.scope): projection for projection in response.scopes}
    return Snapshot(
        session_id=response.session_id,
        client_data=codec.decode(client_data(response.scopes), model),
        versions={scope: projection.version for scope, projection in projections.items()},
        failures={
            scope: {name: Failure.from_proto(failure) for name, failure in projection.failures.items()}
            for scope, projection in projections.items()
            if projection.failures
        },
        active_requests={r.request_id: Cursor.from_proto(r.cursor) for r in response.active_requests},
        cursor=Cursor.from_proto(response.cursor),
        read_time=plain_time(response, "read_time"),
        resource_versions={
            scope: dict(projection.resource_versions)
            for scope, projection in projections.items()
            if projection.resource_versions
        },
    )


def selectors(
    names: Mapping[Scope, Sequence[str]] | None,
) -> Sequence[session_service_pb2.SnapshotSelector]:
    """The names to show by scope, as messages.

    Raises:
        TypeError: it is no mapping, or not of lists of texts.
        ValueError: it names what is no scope of a view.
    """
    return [
        session_service_pb2.SnapshotSelector(
            scope=_kind(scope), names=texts(chosen, f"names[{str(scope)!r}]")
        )
        for scope, chosen in mapping(names or {}, "names").items()
    ]


def _kind(scope: str) -> types_pb2.ScopeKind.ValueType:
    for known, kind in _KINDS.items():
        if known == scope:
            return kind
    raise ValueError(f"names are of session, user or org, not of {str(scope)!r}")


_KINDS = {
    Scope.SESSION: types_pb2.SCOPE_KIND_SESSION,
    Scope.USER: types_pb2.SCOPE_KIND_USER,
    Scope.ORG: types_pb2.SCOPE_KIND_ORG,
}


def client_data(projections: Iterable[session_service_pb2.ScopeProjection]) -> bytes:
    """JSON text of ``{scope: {name: value}}``, by name, the values as the server sent them."""
    scopes = []
    for projection in projections:
        shown = sorted(projection.values.items())  # a map on the wire has no order
        values = b",".join(_key(name) + value.json.encode() for name, value in shown)
        scopes.append(_key(Scope.from_proto(projection.scope)) + b"{" + values + b"}")
    return b"{" + b",".join(scopes) + b"}"


def _key(name: str) -> bytes:
    return orjson.dumps(str(name)) + b":"
