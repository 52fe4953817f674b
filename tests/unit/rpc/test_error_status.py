from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from flowstate.v1.errors_pb2 import ErrorReason
from flowstate_server import errors
from flowstate_server.errors import (
    MutationAtFault,
    Reason,
    ServiceError,
    StateTooLargeError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.rpc.error_status import ERROR_STATUS
from flowstate_server.rpc.status_details import MAX_BYTES, encode_status, status_code, status_message

PROTO = Path(__file__).parents[3] / "protos/flowstate/v1/errors.proto"

FIELDS: dict[str, object] = {
    "earliest": 1,
    "violations": (Violation("spec.user_id", "required", "must not be empty"),),
    "attempts": 8,
    "current": 7,
    "sequence": 3,
    "latest": 2,
    "limit": 10,
    "seconds": 30,
    "size": 11,
}


def _leaves() -> list[type[ServiceError]]:
    found: list[type[ServiceError]] = []
    for name in dir(errors):
        value = getattr(errors, name)
        if isinstance(value, type) and issubclass(value, ServiceError) and "reason" in vars(value):
            found.append(value)
    return found


def _error(kind: type[ServiceError]) -> ServiceError:
    names = [name for name in getattr(kind, "__dataclass_fields__", {}) if name != "reason"]
    return kind(**{name: FIELDS.get(name, f"the-{name}") for name in names})


def _documented() -> dict[str, tuple[str, set[str]]]:
    """By reason: the status and the metadata keys that the comment in errors.proto promises."""
    found = {}
    for comment, name in re.findall(r"((?:  //[^\n]*\n)+)  ERROR_REASON_(\w+) = ", PROTO.read_text()):
        text = " ".join(line.strip(" /") for line in comment.splitlines())
        brackets = re.findall(r"\[([^\]]*)\]", text)
        keys = (
            {re.split(r"[:;]", key.strip())[0] for key in re.split(r"[;,]", brackets[0])}
            if brackets
            else set()
        )
        found[name] = (text.split(".")[0], {key for key in keys if re.fullmatch(r"[a-z_]+", key)})
    return found


def test_every_reason_has_a_row_and_a_wire_value() -> None:
    assert set(ERROR_STATUS) == set(Reason)
    for reason in Reason:
        ErrorReason.Value(f"ERROR_REASON_{reason.value}")


def test_every_reason_has_one_error() -> None:
    assert sorted(kind.reason for kind in _leaves()) == sorted(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_the_table_is_what_the_contract_says(reason: Reason) -> None:
    code, keys = _documented()[reason.value]
    row = ERROR_STATUS[reason]
    assert row.code.name == code
    assert set(row.metadata) == keys - {"a", "exists", "absent"}


@pytest.mark.parametrize("kind", _leaves())
def test_every_error_becomes_a_status_with_its_fields(kind: type[ServiceError]) -> None:
    error = _error(kind)
    status = Status.FromString(encode_status(error))
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (kind.reason.value, "flowstate.dev")
    assert dict(info.metadata) == {
        key: str(getattr(error, key)) for key in ERROR_STATUS[kind.reason].metadata
    }
    assert status.message == status_message(error)
    assert status_code(error) is not StatusCode.UNKNOWN
    retries = any(detail.TypeName() == RetryInfo.DESCRIPTOR.full_name for detail in status.details)
    assert retries or status_code(error) is not StatusCode.UNAVAILABLE


@pytest.mark.parametrize("kind", _leaves())
def test_every_error_can_be_copied_with_what_was_found_out_since(kind: type[ServiceError]) -> None:
    error = _error(kind)
    error.mutation = MutationAtFault(1, "user", "u1")
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is kind
        assert (str(other), vars(other)) == (str(error), vars(error))


def test_the_mutation_at_fault_stays_short() -> None:
    error = StateTooLargeError("user", 2, 1)
    error.mutation = MutationAtFault(1, "user", "ü" * 70_000)
    assert status_message(error).startswith("mutations[1] (user ü")
    assert status_message(error).endswith("...): The state of the user would have 2 bytes; the limit is 1.")
    assert len(encode_status(error)) <= MAX_BYTES


def test_details_stay_small_enough_for_trailers() -> None:
    long = "ü" * 5_000
    error = ValidationFailedError(
        tuple(Violation(f"/{number}/{long}", "rule!", long) for number in range(1_000))
    )
    raw = encode_status(error)
    assert len(raw) <= MAX_BYTES
    status = Status.FromString(raw)
    bad = BadRequest()
    status.details[-1].Unpack(bad)
    assert bad.field_violations
    assert bad.field_violations[0].reason == "RULE"


@pytest.mark.parametrize("kind", _leaves())
def test_long_fields_do_not_break_the_limit(kind: type[ServiceError]) -> None:
    error = _error(kind)
    for name, value in vars(error).items():
        if isinstance(value, str):
            setattr(error, name, "\u0080" * 100_000)
    assert len(encode_status(error)) <= MAX_BYTES
    assert len(status_message(error).encode()) <= 400
