"""Why an action, a block or a derived value failed."""

from __future__ import annotations

from google.rpc.code_pb2 import ABORTED, DEADLINE_EXCEEDED, FAILED_PRECONDITION, INTERNAL

from flowstate.v1.types_pb2 import Failure as WireFailure
from flowstate_server.model.records import Failure
from flowstate_server.rpc.json_values import encode_value
from flowstate_server.rpc.status_details import DOMAIN

_SERVER_REASONS = {
    "ACTION_FAILED": FAILED_PRECONDITION,
    "ACTION_TIMEOUT": DEADLINE_EXCEEDED,
    "WRITE_CONFLICT": ABORTED,
    "INTERNAL": INTERNAL,
}


def encode_failure(failure: Failure) -> WireFailure:
    """A flow's own reason goes as ABORTED if a new attempt may help, else as FAILED_PRECONDITION."""
    own = ABORTED if failure.retryable else FAILED_PRECONDITION
    return WireFailure(
        code=_SERVER_REASONS.get(failure.reason, own),
        reason=failure.reason,
        domain=DOMAIN if failure.reason in _SERVER_REASONS else "",
        message=failure.message,
        details=encode_value(failure.details) if failure.details else None,
        error_id=failure.error_id,
        retryable=failure.retryable,
    )
