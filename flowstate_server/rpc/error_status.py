"""Which gRPC status each reason travels under, and which of an error's fields go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grpc import StatusCode

from flowstate_server.errors import Reason


@dataclass(frozen=True, slots=True)
class StatusRow:
    """``metadata`` names fields of the error that become ``ErrorInfo.metadata``. ``field`` is the message field at
    fault where the error itself doesn't say. ``retry_after`` (seconds) says that the same call may succeed later.
    ``resource`` is the type of what was not found; its name is the last of ``metadata``.
    """

    code: StatusCode
    metadata: tuple[str, ...] = ()
    field: str = ""
    retry_after: float | None = None
    resource: str = ""


_INVALID = StatusCode.INVALID_ARGUMENT
_MISSING = StatusCode.NOT_FOUND
_CONDITION = StatusCode.FAILED_PRECONDITION
_EXHAUSTED = StatusCode.RESOURCE_EXHAUSTED
_UNAVAILABLE = StatusCode.UNAVAILABLE

ERROR_STATUS: Mapping[Reason, StatusRow] = {
    Reason.VALIDATION_FAILED: StatusRow(_INVALID),
    Reason.MALFORMED_MESSAGE: StatusRow(_INVALID),
    Reason.METADATA_INVALID: StatusRow(_INVALID, ("key",)),
    Reason.JSON_INVALID: StatusRow(_INVALID, ("path",)),
    Reason.JSON_LIMIT_EXCEEDED: StatusRow(_INVALID, ("path",)),
    Reason.JSON_NUMBER_UNREPRESENTABLE: StatusRow(_INVALID, ("path",)),
    Reason.PATH_INVALID: StatusRow(_INVALID, ("path",)),
    Reason.SCHEMA_VIOLATION: StatusRow(_INVALID, ("scope",)),
    Reason.PAGE_TOKEN_INVALID: StatusRow(_INVALID, field="page_token"),
    Reason.CURSOR_INVALID: StatusRow(_INVALID, field="after"),
    Reason.CREDENTIALS_INVALID: StatusRow(StatusCode.UNAUTHENTICATED),
    Reason.ACCESS_DENIED: StatusRow(StatusCode.PERMISSION_DENIED),
    Reason.TENANT_REQUIRED: StatusRow(StatusCode.PERMISSION_DENIED),
    Reason.FLOW_NOT_FOUND: StatusRow(_MISSING, ("flow_kind",), resource="flow"),
    Reason.ACTION_NOT_FOUND: StatusRow(_MISSING, ("flow_kind", "action"), resource="action"),
    Reason.SESSION_NOT_FOUND: StatusRow(_MISSING, ("session_id",), resource="session"),
    Reason.REQUEST_NOT_FOUND: StatusRow(_MISSING, ("request_id",), resource="request"),
    Reason.ITEM_NOT_FOUND: StatusRow(_MISSING, ("item_id",), resource="item"),
    Reason.RESOURCE_NOT_FOUND: StatusRow(_MISSING, ("scope", "name"), resource="resource"),
    Reason.SESSION_ALREADY_EXISTS: StatusRow(StatusCode.ALREADY_EXISTS, ("session_id",)),
    Reason.RESOURCE_ALREADY_EXISTS: StatusRow(StatusCode.ALREADY_EXISTS, ("scope", "name")),
    Reason.REQUEST_ALREADY_EXISTS: StatusRow(StatusCode.ALREADY_EXISTS, ("request_id",)),
    Reason.VERSION_MISMATCH: StatusRow(StatusCode.ABORTED, ("scope", "expected", "current")),
    Reason.WRITE_CONFLICT: StatusRow(StatusCode.ABORTED, ("scope", "attempts")),
    Reason.STATE_TEST_FAILED: StatusRow(_CONDITION, ("path",)),
    Reason.STATE_TYPE_CONFLICT: StatusRow(_CONDITION, ("path",)),
    Reason.SCOPE_UNAVAILABLE: StatusRow(_CONDITION, ("scope",)),
    Reason.ORG_BINDING_MISMATCH: StatusRow(_CONDITION, ("session_id",)),
    Reason.FLOW_BINDING_MISMATCH: StatusRow(_CONDITION, ("session_id",)),
    Reason.RESOURCE_DELETED: StatusRow(_CONDITION, ("scope", "name")),
    Reason.REQUEST_TERMINAL: StatusRow(_CONDITION, ("request_id",)),
    Reason.CONCURRENCY_REJECTED: StatusRow(_CONDITION, ("request_id",)),
    Reason.REQUEST_OPEN: StatusRow(_CONDITION, ("request_id",)),
    Reason.IDEMPOTENCY_KEY_REUSED: StatusRow(_CONDITION),
    Reason.CURSOR_LOG_MISMATCH: StatusRow(_CONDITION, ("log_id",)),
    Reason.CURSOR_AHEAD: StatusRow(StatusCode.OUT_OF_RANGE, ("sequence", "latest")),
    Reason.EVENTS_COMPACTED: StatusRow(StatusCode.OUT_OF_RANGE, ("earliest", "latest")),
    Reason.RATE_LIMITED: StatusRow(_EXHAUSTED, ("limit",), retry_after=1.0),
    Reason.TOO_MANY_STREAMS: StatusRow(_EXHAUSTED, ("limit",), retry_after=1.0),
    Reason.SLOW_CONSUMER: StatusRow(_EXHAUSTED, ("sequence",), retry_after=0.1),
    Reason.MESSAGE_TOO_LARGE: StatusRow(_EXHAUSTED, ("what", "size", "limit")),
    Reason.STATE_TOO_LARGE: StatusRow(_EXHAUSTED, ("scope", "size", "limit")),
    Reason.TOO_MANY_RESOURCES: StatusRow(_EXHAUSTED, ("scope", "limit")),
    Reason.QUEUE_FULL: StatusRow(_EXHAUSTED, ("limit",)),
    Reason.SERVER_DRAINING: StatusRow(_UNAVAILABLE, retry_after=0.1),
    Reason.STORE_UNAVAILABLE: StatusRow(_UNAVAILABLE, retry_after=1.0),
    Reason.LEASE_LOST: StatusRow(_UNAVAILABLE, retry_after=0.1),
    Reason.DEADLINE_BUDGET_EXHAUSTED: StatusRow(StatusCode.DEADLINE_EXCEEDED),
    Reason.FEATURE_DISABLED: StatusRow(StatusCode.UNIMPLEMENTED, ("feature",)),
    Reason.INTERNAL: StatusRow(StatusCode.INTERNAL, ("error_id",)),
}
