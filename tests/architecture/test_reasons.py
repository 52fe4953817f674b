"""Every reason to fail has one error, one wire value, one status and one exception of the client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from flowstate.v1.errors_pb2 import ErrorReason
from flowstate_client.error_reasons import REASONS
from flowstate_server.errors import Reason, ServiceError
from flowstate_server.rpc.error_status import ERROR_STATUS

PREFIX = "ERROR_REASON_"


def leaves(kind: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    if not kind.__subclasses__():
        yield kind
    for child in kind.__subclasses__():
        yield from leaves(child)


def test_each_reason_has_exactly_one_error() -> None:
    ours = [error for error in leaves() if error.__module__ == "flowstate_server.errors"]
    assert Counter(error.reason for error in ours) == Counter(Reason)


def test_each_reason_is_on_the_wire() -> None:
    assert {PREFIX + reason for reason in Reason} <= set(ErrorReason.keys())


def test_each_reason_has_a_status() -> None:
    assert set(ERROR_STATUS) == set(Reason)


def test_the_client_has_an_exception_for_every_reason_on_the_wire() -> None:
    wire = {name.removeprefix(PREFIX) for name in ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
    assert set(REASONS) == wire
