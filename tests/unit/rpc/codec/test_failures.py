from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.rpc.code_pb2 import ABORTED, FAILED_PRECONDITION, Code

from flowstate.v1.errors_pb2 import FailureReason
from flowstate_server.model.records import Failure
from flowstate_server.rpc.codec.failures import FAILURE_CODES, encode_failure

PROTO = Path(__file__).parents[4] / "protos/flowstate/v1/errors.proto"
PREFIX = "FAILURE_REASON_"


def _documented() -> dict[str, str]:
    """By reason: the code with which its comment in errors.proto begins."""
    comments = re.findall(r"((?:  //[^\n]*\n)+)  FAILURE_REASON_(\w+) = ", PROTO.read_text())
    return {name: comment.strip(" /").split(".")[0] for comment, name in comments if name != "UNSPECIFIED"}


def test_every_reason_of_the_contract_has_the_code_that_the_contract_says() -> None:
    assert {name: Code.Name(code) for name, code in FAILURE_CODES.items()} == _documented()
    assert {PREFIX + name for name in FAILURE_CODES} == set(FailureReason.keys()) - {PREFIX + "UNSPECIFIED"}


@pytest.mark.parametrize("reason", FAILURE_CODES)
def test_the_server_s_own_reasons_have_its_domain(reason: str) -> None:
    wire = encode_failure(Failure(reason, "no"))
    assert (wire.domain, wire.code) == ("flowstate.dev", FAILURE_CODES[reason])


@pytest.mark.parametrize(("retryable", "code"), [(True, ABORTED), (False, FAILED_PRECONDITION)])
def test_a_flow_s_own_reason_has_none(retryable: bool, code: int) -> None:
    wire = encode_failure(Failure("OUT_OF_STOCK", "no apples", {"left": 0}, retryable=retryable))
    assert (wire.domain, wire.code, wire.retryable) == ("", code, retryable)
    assert wire.details.json == '{"left":0}'
