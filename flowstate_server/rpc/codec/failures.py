"""Why an action, a block or a derived value failed."""

from __future__ import annotations

from collections.abc import Mapping

from google.rpc.code_pb2 import (
    ABORTED,
    DEADLINE_EXCEEDED,
    FAILED_PRECONDITION,
    INTERNAL,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
)

from flowstate.v1.types_pb2 import Failure as WireFailure
from flowstate_server.model.records import Failure
from flowstate_server.rpc.json_values import encode_value
from flowstate_server.rpc.status_details import DOMAIN

FAILURE_CODES: Mapping[str, int] = {
    "ACTION_FAILED": FAILED_PRECONDITION,
    "ACTION_TIMEOUT": DEADLINE_EXCEEDED,
    "WRITE_CONFLICT": ABORTED,
    "OUTPUT_TOO_LARGE": RESOURCE_EXHAUSTED,
    "STORE_UNAVAILABLE": UNAVAILABLE,
    "INTERNAL": INTERNAL,
    "QUEUE_TIMEOUT": DEADLINE_EXCEEDED,
    "INPUT_OUTDATED": FAILED_PRECONDITION,
    "LOOP_BOUND_EXCEEDED": FAILED_PRECONDITION,
    "ROUTE_UNKNOWN": FAILED_PRECONDITION,
    "OUTPUT_INVALID": FAILED_PRECONDITION,
    "MODEL_UNAVAILABLE": UNAVAILABLE,
    "SCOPE_UNAVAILABLE": FAILED_PRECONDITION,
    "MODEL_REFUSED": FAILED_PRECONDITION,
    "STEPS_EXCEEDED": FAILED_PRECONDITION,
}
"""The server's own reasons, ``flowstate.v1.FailureReason`` without its prefix, and the nearest code of each."""


def encode_failure(failure: Failure) -> WireFailure:
    """A flow's own reason goes as ABORTED if a new attempt may help, else as FAILED_PRECONDITION."""
    own = ABORTED if failure.retryable else FAILED_PRECONDITION
    return WireFailure(
        code=FAILURE_CODES.get(failure.reason, own),
        reason=failure.reason,
        domain=DOMAIN if failure.reason in FAILURE_CODES else "",
        message=failure.message,
        details=encode_value(failure.details) if failure.details else None,
        error_id=failure.error_id,
        retryable=failure.retryable,
    )
