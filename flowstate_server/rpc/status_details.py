"""Turns an error into a rich gRPC status: what ``grpc-status-details-bin`` carries, kept small enough for trailers."""

from __future__ import annotations

import re

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from flowstate_server.errors import Reason, ServiceError, Violation
from flowstate_server.rpc.error_status import ERROR_STATUS, StatusRow

DOMAIN = "flowstate.dev"
DETAILS_KEY = "grpc-status-details-bin"
# Trailers: gRPC peers commonly take 8 KiB of metadata, and base64 and the message come on top of this.
MAX_BYTES = 4096

# Texts may quote what a caller sent (an id, a path) and grpc-message triples what is not ASCII.
_MAX_MESSAGE = 400
_MAX_TEXT = 256
_MAX_OWNER = 128


def status_code(error: ServiceError) -> StatusCode:
    return ERROR_STATUS[error.reason].code


def status_message(error: ServiceError) -> str:
    text = str(error)
    if error.mutation is not None:
        place = f"mutations[{error.mutation.index}]"
        if not text.startswith(place):
            text = f"{place} ({error.mutation.scope} {_cut(error.mutation.owner, _MAX_OWNER)}): {text}"
    return _cut(text, _MAX_MESSAGE)


def encode_status(error: ServiceError) -> bytes:
    """A serialised ``google.rpc.Status`` of at most ``MAX_BYTES``; what does not fit of the violations is left out."""
    row = ERROR_STATUS[error.reason]
    status = Status(code=row.code.value[0], message=status_message(error))
    info = ErrorInfo(reason=error.reason.value, domain=DOMAIN)
    for key in row.metadata:
        info.metadata[key] = _cut(str(getattr(error, key)), _MAX_TEXT)
    if error.mutation is not None:
        info.metadata["mutation"] = str(error.mutation.index)
        info.metadata["scope"] = error.mutation.scope
        info.metadata["owner"] = _cut(error.mutation.owner, _MAX_TEXT)
    _attach(status, info)
    if row.retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(round(row.retry_after * 1_000))
        _attach(status, retry)
    if row.resource:
        _attach(
            status, ResourceInfo(resource_type=row.resource, resource_name=info.metadata[row.metadata[-1]])
        )
    if row.code is StatusCode.FAILED_PRECONDITION or error.reason is Reason.VERSION_MISMATCH:
        subject = info.metadata[row.metadata[0]] if row.metadata else ""
        failure = PreconditionFailure()
        failure.violations.add(type=error.reason.value, subject=subject, description=status.message)
        _attach(status, failure)
    if row.code is StatusCode.INVALID_ARGUMENT:
        _attach(status, _bad_request(error, row, MAX_BYTES - status.ByteSize() - 128))
    return status.SerializeToString()


def _bad_request(error: ServiceError, row: StatusRow, room: int) -> BadRequest:
    bad = BadRequest()
    for violation in _violations(error, row):
        entry = BadRequest.FieldViolation(
            field=_cut(violation.path, _MAX_TEXT),
            description=_cut(violation.message, _MAX_TEXT),
            reason=re.sub(r"[^A-Z0-9]+", "_", violation.rule.upper()).strip("_")[:63],
        )
        room -= entry.ByteSize() + 4
        if room < 0:
            break
        bad.field_violations.append(entry)
    return bad


def _violations(error: ServiceError, row: StatusRow) -> tuple[Violation, ...]:
    given: tuple[Violation, ...] | None = getattr(error, "violations", None)
    if given is not None:
        return given
    path = getattr(error, "path", row.field)
    problem = getattr(error, "problem", str(error))
    return (Violation(path, error.reason.value, problem),) if path else ()


def _attach(status: Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


def _cut(text: str, limit: int) -> str:
    """At most ``limit`` bytes of UTF-8, whole characters."""
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= limit else raw[: limit - 3].decode("utf-8", "ignore") + "..."
