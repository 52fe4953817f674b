"""What the server tells about its records, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flowstate.v1 import events_pb2, flow_service_pb2, server_service_pb2, types_pb2
from flowstate_client.json_profile import from_json_text


class Scope(StrEnum):
    """Whose state. ``UNKNOWN`` stands for what a newer server may add."""

    UNKNOWN = "unknown"
    REQUEST = "request"
    SESSION = "session"
    USER = "user"
    ORG = "org"
    BLOCK = "block"

    @classmethod
    def from_proto(cls, kind: int) -> Scope:
        """The scope of a ``flowstate.v1.ScopeKind``."""
        return _SCOPES.get(kind, cls.UNKNOWN)


_SCOPES: Mapping[int, Scope] = {
    types_pb2.SCOPE_KIND_REQUEST: Scope.REQUEST,
    types_pb2.SCOPE_KIND_SESSION: Scope.SESSION,
    types_pb2.SCOPE_KIND_USER: Scope.USER,
    types_pb2.SCOPE_KIND_ORG: Scope.ORG,
    types_pb2.SCOPE_KIND_BLOCK: Scope.BLOCK,
}


class RequestStatus(StrEnum):
    """Where a request is in its life. ``UNKNOWN`` stands for what a newer server may add; it has not ended."""

    UNKNOWN = "unknown"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen."""
        return self in _ENDED

    @classmethod
    def from_proto(cls, status: int) -> RequestStatus:
        """The status of a ``flowstate.v1.ActionRequestStatus``."""
        return _STATUSES.get(status, cls.UNKNOWN)


_ENDED = frozenset(
    {RequestStatus.COMPLETED, RequestStatus.FAILED, RequestStatus.ABORTED, RequestStatus.INTERRUPTED}
)
_STATUSES: Mapping[int, RequestStatus] = {
    flow_service_pb2.ACTION_REQUEST_STATUS_QUEUED: RequestStatus.QUEUED,
    flow_service_pb2.ACTION_REQUEST_STATUS_IN_PROGRESS: RequestStatus.IN_PROGRESS,
    flow_service_pb2.ACTION_REQUEST_STATUS_SUSPENDED: RequestStatus.SUSPENDED,
    flow_service_pb2.ACTION_REQUEST_STATUS_COMPLETED: RequestStatus.COMPLETED,
    flow_service_pb2.ACTION_REQUEST_STATUS_FAILED: RequestStatus.FAILED,
    flow_service_pb2.ACTION_REQUEST_STATUS_ABORTED: RequestStatus.ABORTED,
    flow_service_pb2.ACTION_REQUEST_STATUS_INTERRUPTED: RequestStatus.INTERRUPTED,
}


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a log, behind the event with ``sequence``; 0 is the start.

    ``log_id`` names the incarnation of the log; empty is not checked.
    """

    log_id: str = ""
    sequence: int = 0

    @classmethod
    def from_proto(cls, cursor: types_pb2.Cursor) -> Cursor:
        """The position of a ``flowstate.v1.Cursor``."""
        return cls(cursor.log_id, cursor.sequence)

    def to_proto(self) -> types_pb2.Cursor:
        """This position as a message."""
        return types_pb2.Cursor(log_id=self.log_id, sequence=self.sequence)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an action, a block or one value failed.

    ``reason`` is for programs (the flow's own code, ACTION_FAILED, ACTION_TIMEOUT, WRITE_CONFLICT or INTERNAL),
    ``message`` for people, ``code`` the nearest ``google.rpc.Code``, ``error_id`` what to quote for INTERNAL.
    ``retryable``: a new attempt, with a new request id, may succeed.
    """

    reason: str
    message: str = ""
    code: int = 0
    domain: str = ""
    details: Any = None
    error_id: str = ""
    retryable: bool = False

    @classmethod
    def from_proto(cls, failure: types_pb2.Failure) -> Failure:
        """The failure of a ``flowstate.v1.Failure``."""
        return cls(
            reason=failure.reason,
            message=failure.message,
            code=failure.code,
            domain=failure.domain,
            details=plain_value(failure.details),
            error_id=failure.error_id,
            retryable=failure.retryable,
        )


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a conversation; ``content`` is ``None`` while it is still streamed, and once it is ``removed``."""

    item_id: str
    kind: str
    role: str
    name: str
    content: Any
    audiences: tuple[str, ...]
    request_id: str
    index: int
    create_time: datetime | None
    removed: bool = False

    @property
    def text(self) -> str:
        """The joined text of a message or of reasoning; empty for the other kinds."""
        if not isinstance(self.content, dict):
            return ""
        if self.kind == "reasoning":
            return _string(self.content.get("text"))
        parts = self.content.get("parts")
        if self.kind != "message" or not isinstance(parts, list):
            return ""
        return "".join(
            _string(part.get("text"))
            for part in parts
            if isinstance(part, dict) and part.get("type") == "text"
        )

    @classmethod
    def from_proto(cls, item: events_pb2.Item) -> Item:
        """The item of a ``flowstate.v1.Item``."""
        return cls(
            item_id=item.item_id,
            kind=item.kind,
            role=item.role,
            name=item.name,
            content=plain_value(item.content),
            audiences=tuple(audience_name(audience) for audience in item.audiences),
            request_id=item.request_id,
            index=item.index,
            create_time=plain_time(item, "create_time"),
            removed=item.removed,
        )


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One request as the server has stored it; ``input`` and ``output`` are plain JSON values.

    ``stop_reason`` says for people why it was aborted or interrupted; empty where it was not, or nobody said.
    """

    request_id: str
    session_id: str
    flow_kind: str
    action: str
    user_id: str
    org_id: str
    status: RequestStatus
    input: Any
    output: Any
    failure: Failure | None
    stop_reason: str
    cancel_requested: bool
    latest: Cursor
    version: int
    create_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None

    @classmethod
    def from_proto(cls, request: flow_service_pb2.ActionRequest) -> RunRecord:
        """The request of a ``flowstate.v1.ActionRequest``."""
        return cls(
            request_id=request.request_id,
            session_id=request.session_id,
            flow_kind=request.flow_kind,
            action=request.action,
            user_id=request.user_id,
            org_id=request.org_id,
            status=RequestStatus.from_proto(request.status),
            input=plain_value(request.input),
            output=plain_value(request.output),
            failure=Failure.from_proto(request.failure) if request.HasField("failure") else None,
            stop_reason=request.stop_reason,
            cancel_requested=request.cancel_requested,
            latest=Cursor.from_proto(request.latest),
            version=request.meta.version,
            create_time=plain_time(request, "create_time"),
            start_time=plain_time(request, "start_time"),
            end_time=plain_time(request, "end_time"),
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """The server's limits: bytes, counts and seconds; 0 where a limit does not apply."""

    max_message_bytes: int
    max_state_bytes: int
    max_resource_bytes: int
    max_json_depth: int
    max_ops_per_commit: int
    max_page_size: int
    max_tails_per_tenant: int
    heartbeat_interval: float
    max_wait: float
    idempotency_window: float
    event_retention: float
    max_input_bytes: int
    max_output_bytes: int
    max_event_output_bytes: int
    max_item_bytes: int
    max_document_reply_bytes: int
    max_scopes: int
    max_id_bytes: int
    max_json_key_bytes: int
    default_deadline: float
    transient_retention: float
    max_inline_content_bytes: int
    max_resources_per_owner: int
    max_resource_name_bytes: int
    max_queued_requests: int


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The server that answered; ``capabilities`` holds ``Service/Method`` and ``Message.field`` names."""

    version: str
    instance_id: str
    limits: Limits
    capabilities: frozenset[str]

    @classmethod
    def from_proto(cls, info: server_service_pb2.GetServerInfoResponse) -> ServerInfo:
        """The server of a ``flowstate.v1.GetServerInfoResponse``."""
        limits = info.limits
        return cls(
            version=info.version,
            instance_id=info.instance_id,
            limits=Limits(
                max_message_bytes=limits.max_message_bytes,
                max_state_bytes=limits.max_state_bytes,
                max_resource_bytes=limits.max_resource_bytes,
                max_json_depth=limits.max_json_depth,
                max_ops_per_commit=limits.max_ops_per_commit,
                max_page_size=limits.max_page_size,
                max_tails_per_tenant=limits.max_tails_per_tenant,
                heartbeat_interval=seconds(limits.heartbeat_interval),
                max_wait=seconds(limits.max_wait),
                idempotency_window=seconds(limits.idempotency_window),
                event_retention=seconds(limits.event_retention),
                max_input_bytes=limits.max_input_bytes,
                max_output_bytes=limits.max_output_bytes,
                max_event_output_bytes=limits.max_event_output_bytes,
                max_item_bytes=limits.max_item_bytes,
                max_document_reply_bytes=limits.max_document_reply_bytes,
                max_scopes=limits.max_scopes,
                max_id_bytes=limits.max_id_bytes,
                max_json_key_bytes=limits.max_json_key_bytes,
                default_deadline=seconds(limits.default_deadline),
                transient_retention=seconds(limits.transient_retention),
                max_inline_content_bytes=limits.max_inline_content_bytes,
                max_resources_per_owner=limits.max_resources_per_owner,
                max_resource_name_bytes=limits.max_resource_name_bytes,
                max_queued_requests=limits.max_queued_requests,
            ),
            capabilities=frozenset(info.capabilities),
        )


@dataclass(frozen=True, slots=True)
class StateWrite:
    """The outcome of a write: the record's ``version`` now, and whether this write ``changed`` it.

    ``incarnation`` is the record's, see ``StateRecord``; empty where the server does not tell it.
    """

    version: int
    changed: bool
    incarnation: str = field(default="", compare=False, repr=False)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def plain_value(value: types_pb2.Value) -> Any:
    """The plain JSON value of a ``flowstate.v1.Value``; ``None`` where it is unset."""
    return from_json_text(value.json) if value.WhichOneof("encoding") == "json" else None


def plain_time(message: Any, field: str) -> datetime | None:
    """The time in a field of a message, in UTC; ``None`` where it is unset."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    return stamp.ToDatetime(UTC)


def seconds(duration: Duration) -> float:
    """A duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def audience_name(audience: int) -> str:
    """``client``, ``internal`` or ``history``; ``unknown`` for what a newer server may add."""
    return _AUDIENCES.get(audience, "unknown")


_AUDIENCES: Mapping[int, str] = {
    types_pb2.AUDIENCE_CLIENT: "client",
    types_pb2.AUDIENCE_INTERNAL: "internal",
    types_pb2.AUDIENCE_HISTORY: "history",
}
