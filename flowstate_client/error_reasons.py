"""From the status of a call to an error: which reason and which code becomes which class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError

from flowstate_client.error_places import FieldViolation
from flowstate_client.errors import (
    ActionNotFound,
    AlreadyExists,
    ApiError,
    Cancelled,
    ConcurrencyRejected,
    ConflictError,
    ConnectError,
    CursorAhead,
    CursorLogMismatch,
    DataLoss,
    DeadlineExceeded,
    EventsCompacted,
    FeatureUnavailable,
    FlowBindingMismatch,
    FlowNotFound,
    IdempotencyKeyReused,
    InternalError,
    InvalidArgument,
    InvalidJson,
    NotFound,
    OrgBindingMismatch,
    OutOfRange,
    PermissionDenied,
    PreconditionError,
    QueueFull,
    RateLimited,
    RequestNotFound,
    RequestTerminal,
    ResourceDeleted,
    ResourceExhausted,
    ResourceNotFound,
    SchemaViolation,
    ScopeUnavailable,
    SessionNotFound,
    SlowConsumer,
    StateTypeConflict,
    TooLarge,
    TooManyStreams,
    Unauthenticated,
    Unavailable,
    ValidationFailed,
    VersionMismatch,
)
from flowstate_client.models import seconds
from flowstate_client.resource_errors import ResourceAlreadyExists, TooManyResources

DOMAIN = "flowstate.dev"
NO_USER = "give user_id=, or connect(user=...)"
"""The hint where neither the call nor the credentials say for whom it is."""

NEEDS_TRUSTED = 'connect(..., plane="trusted"), or with a token of that plane'
"""The hint where the call is for the trusted plane."""
NO_TOKEN = "give connect(token=...)"
"""The hint where the server knows callers by tokens."""

_USERS = frozenset(("spec.user_id", "session.user_id"))

CODES: Mapping[StatusCode, type[ApiError]] = {
    StatusCode.CANCELLED: Cancelled,
    StatusCode.INVALID_ARGUMENT: InvalidArgument,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    StatusCode.NOT_FOUND: NotFound,
    StatusCode.ALREADY_EXISTS: AlreadyExists,
    StatusCode.PERMISSION_DENIED: PermissionDenied,
    StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    StatusCode.FAILED_PRECONDITION: PreconditionError,
    StatusCode.ABORTED: ConflictError,
    StatusCode.OUT_OF_RANGE: OutOfRange,
    StatusCode.UNIMPLEMENTED: FeatureUnavailable,
    StatusCode.INTERNAL: InternalError,
    StatusCode.UNAVAILABLE: Unavailable,
    StatusCode.DATA_LOSS: DataLoss,
    StatusCode.UNAUTHENTICATED: Unauthenticated,
}
"""The class for a status code where the reason is unknown; any other code is a plain :class:`ApiError`."""

REASONS: Mapping[str, type[ApiError]] = {
    "VALIDATION_FAILED": ValidationFailed,
    "MALFORMED_MESSAGE": InvalidArgument,
    "METADATA_INVALID": InvalidArgument,
    "JSON_INVALID": InvalidJson,
    "JSON_LIMIT_EXCEEDED": InvalidJson,
    "JSON_NUMBER_UNREPRESENTABLE": InvalidJson,
    "PATH_INVALID": InvalidArgument,
    "SCHEMA_VIOLATION": SchemaViolation,
    "PAGE_TOKEN_INVALID": InvalidArgument,
    "CURSOR_INVALID": InvalidArgument,
    "CREDENTIALS_INVALID": Unauthenticated,
    "ACCESS_DENIED": PermissionDenied,
    "TENANT_REQUIRED": PermissionDenied,
    "FLOW_NOT_FOUND": FlowNotFound,
    "ACTION_NOT_FOUND": ActionNotFound,
    "SESSION_NOT_FOUND": SessionNotFound,
    "REQUEST_NOT_FOUND": RequestNotFound,
    "RESOURCE_NOT_FOUND": ResourceNotFound,
    "ITEM_NOT_FOUND": NotFound,
    "SESSION_ALREADY_EXISTS": AlreadyExists,
    "RESOURCE_ALREADY_EXISTS": ResourceAlreadyExists,
    "REQUEST_ALREADY_EXISTS": AlreadyExists,
    "VERSION_MISMATCH": VersionMismatch,
    "WRITE_CONFLICT": ConflictError,
    "STATE_TEST_FAILED": PreconditionError,
    "STATE_TYPE_CONFLICT": StateTypeConflict,
    "SCOPE_UNAVAILABLE": ScopeUnavailable,
    "ORG_BINDING_MISMATCH": OrgBindingMismatch,
    "FLOW_BINDING_MISMATCH": FlowBindingMismatch,
    "REQUEST_TERMINAL": RequestTerminal,
    "IDEMPOTENCY_KEY_REUSED": IdempotencyKeyReused,
    "CURSOR_LOG_MISMATCH": CursorLogMismatch,
    "CONCURRENCY_REJECTED": ConcurrencyRejected,
    "RESOURCE_DELETED": ResourceDeleted,
    "REQUEST_OPEN": PreconditionError,
    "EVENTS_COMPACTED": EventsCompacted,
    "CURSOR_AHEAD": CursorAhead,
    "RATE_LIMITED": RateLimited,
    "TOO_MANY_STREAMS": TooManyStreams,
    "SLOW_CONSUMER": SlowConsumer,
    "MESSAGE_TOO_LARGE": TooLarge,
    "STATE_TOO_LARGE": TooLarge,
    "QUEUE_FULL": QueueFull,
    "TOO_MANY_RESOURCES": TooManyResources,
    "SERVER_DRAINING": Unavailable,
    "STORE_UNAVAILABLE": Unavailable,
    "LEASE_LOST": Unavailable,
    "DEADLINE_BUDGET_EXHAUSTED": DeadlineExceeded,
    "FEATURE_DISABLED": FeatureUnavailable,
    "INTERNAL": InternalError,
    "LOG_CORRUPTED": DataLoss,
}
"""The class for each reason of ``flowstate.v1.ErrorReason``, without its prefix."""


def api_error(error: AioRpcError, *, method: str, correlation_id: str) -> ApiError:
    """The error of a call that ended with a status other than OK.

    UNAVAILABLE without an ErrorInfo is gRPC's own word for a connection that failed: :class:`ConnectError`.
    """
    code = error.code()
    reason = domain = ""
    facts: dict[str, str] = {}
    violations: tuple[FieldViolation, ...] = ()
    retry_after: float | None = None
    for detail in _details(error.trailing_metadata()):
        if isinstance(detail, error_details_pb2.ErrorInfo):
            reason, domain, facts = detail.reason, detail.domain, dict(detail.metadata)
        elif isinstance(detail, error_details_pb2.BadRequest):
            violations = tuple(
                FieldViolation(v.field, getattr(v, "reason", ""), v.description)
                for v in detail.field_violations
            )
        elif isinstance(detail, error_details_pb2.RetryInfo):
            retry_after = seconds(detail.retry_delay)
    cls = REASONS.get(reason) if domain == DOMAIN else None
    if cls is None:
        cls = CODES.get(code, ApiError)
        if cls is Unavailable and not reason:
            cls = ConnectError
    return cls(
        error.details() or "",
        code=code,
        reason=reason,
        domain=domain,
        metadata=facts,
        field_violations=violations,
        retry_after=retry_after,
        correlation_id=correlation_id,
        method=method,
        hint=_hint(reason, error.details() or "", violations),
    )


def _hint(reason: str, message: str, violations: Iterable[FieldViolation]) -> str:
    if reason == "CREDENTIALS_INVALID":
        return NO_TOKEN
    # Other things that are denied are so on both planes; only the text tells them apart.
    if reason == "ACCESS_DENIED" and "needs the trusted plane" in message:
        return NEEDS_TRUSTED
    return NO_USER if any(v.field in _USERS and v.reason == "REQUIRED" for v in violations) else ""


def is_broken_connection(error: ApiError) -> bool:
    """Whether gRPC or a proxy broke the call off, rather than the server answering it."""
    if error.reason:
        return False
    if error.code in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED):
        return True
    return error.code in (StatusCode.INTERNAL, StatusCode.UNKNOWN) and any(
        word in error.message for word in ("RST_STREAM", "GOAWAY", "Stream removed", "Connection reset")
    )


def is_draining(error: ApiError) -> bool:
    """Whether the server refused since it goes, so that another one has to be asked."""
    return error.reason == "SERVER_DRAINING"


def is_passing(error: ApiError) -> bool:
    """Whether the same call, with the same id or key, may succeed a little later."""
    if isinstance(error, ResourceExhausted):
        return error.retry_after is not None
    return isinstance(error, Unavailable) or is_broken_connection(error)


def _details(trailers: Iterable[tuple[str, str | bytes]] | None) -> list[Any]:
    found: list[Any] = []
    for key, value in trailers or ():
        if key != "grpc-status-details-bin" or not isinstance(value, bytes):
            continue
        try:
            for packed in status_pb2.Status.FromString(value).details:
                kind = _KINDS.get(packed.TypeName())
                if kind is not None:
                    found.append(kind.FromString(packed.value))
        except DecodeError:  # a proxy mangled them; the code remains
            continue
    return found


_KINDS: Mapping[str, Any] = {
    "google.rpc.ErrorInfo": error_details_pb2.ErrorInfo,
    "google.rpc.BadRequest": error_details_pb2.BadRequest,
    "google.rpc.RetryInfo": error_details_pb2.RetryInfo,
}
