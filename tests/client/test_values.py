"""What may be sent, what comes back, and how it is said when it may not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from flowstate.v1 import events_pb2
from flowstate.v1.types_pb2 import Value
from flowstate_client import CustomEvent, ItemDelta, JsonCodec, ResponseValidationError, Scope, UnknownEvent
from flowstate_client.events import PAYLOADS, event_from_proto
from flowstate_client.models import plain_value
from tests.client.fake_tails import json_value

codec = JsonCodec()


class Color(Enum):
    RED = "red"


class Inner(BaseModel):
    when: datetime
    price: Decimal
    key: UUID


class Model(BaseModel):
    inner: Inner
    color: Color = Color.RED
    renamed: int = Field(default=1, alias="re-named")
    number: float = 1.0


@dataclass
class Data:
    inner: Inner
    values: list[float] = field(default_factory=list)


class Typed(TypedDict, total=False):
    n: int


INNER = Inner(when=datetime(2026, 1, 2, tzinfo=UTC), price=Decimal("1.50"), key=UUID(int=1))
INNER_JSON = b'{"when":"2026-01-02T00:00:00Z","price":"1.50","key":"00000000-0000-0000-0000-000000000001"}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, b"null"),
        (1, b"1"),
        (1.0, b"1.0"),
        (-0.0, b"-0.0"),
        (True, b"true"),
        (2**63 - 1, b"9223372036854775807"),
        (-(2**63), b"-9223372036854775808"),
        ("zero \x00", b'"zero \\u0000"'),
        ((1, [2]), b"[1,[2]]"),
        (Color.RED, b'"red"'),
        (Model(inner=INNER), b'{"inner":' + INNER_JSON + b',"color":"red","re-named":1,"number":1.0}'),
        (Data(INNER, [1.0]), b'{"inner":' + INNER_JSON + b',"values":[1.0]}'),
        ({"model": INNER}, b'{"model":' + INNER_JSON + b"}"),
        (Typed(n=3), b'{"n":3}'),
    ],
)
def test_what_is_sent(value: Any, text: bytes) -> None:
    assert codec.encode(value) == text


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": [0, math.nan]}, "/a/1: the number is not finite"),
        ({"a": math.inf}, "/a: the number is not finite"),
        (Data(INNER, [math.nan]), "/values/0: the number is not finite"),
        (Model(inner=INNER, number=math.inf), "/number: the number is not finite"),
        ({"a/b": {"~": 2**63}}, "/a~1b/~0: the integer does not fit int64"),
        (-(2**63) - 1, "the value: the integer does not fit int64"),
        (["\ud800"], "/0: the text has a lone surrogate"),
        ({"\udfff": 1}, "the value: the text has a lone surrogate"),
        ({1: 2}, "the value: a key is int, keys must be text"),
        ({"x": {"k" * 257: 1}}, "/x: a key is over 256 bytes"),
        ({"x": {1, 2}}, "/x: set is not a JSON value"),
        ({"x": b"bytes"}, "/x: bytes is not a JSON value"),
        ({"x": object()}, "/x: object is not a JSON value"),
        (nested(65), "nested over 64 levels"),
    ],
)
def test_what_is_refused(value: Any, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        codec.encode(value)
    assert problem in str(caught.value)


def test_the_deepest_value_that_may_be_sent() -> None:
    assert codec.encode(nested(64)) == b"[" * 64 + b"0" + b"]" * 64


def test_what_comes_back() -> None:
    assert codec.decode(b'{"a": [1, 1.0]}', Any) == {"a": [1, 1.0]}
    assert codec.decode(b"9223372036854775807", int) == 2**63 - 1
    assert codec.decode(b"null", None) is None
    assert codec.decode(b"[1]", list[int] | None) == [1]
    assert codec.decode(INNER_JSON, Inner) == INNER
    assert codec.decode(b'{"n": 1}', Typed) == {"n": 1}
    for text, expected in ((b'"x"', int), (b"{}", Inner), (b"{", Any)):
        with pytest.raises(ResponseValidationError) as caught:
            codec.decode(text, expected)
        assert caught.value.raw == text
        assert caught.value.__cause__ is not None


def test_every_payload_of_the_contract_is_an_event() -> None:
    oneof = events_pb2.Event.DESCRIPTOR.oneofs_by_name["payload"]
    assert {field.name for field in oneof.fields} == set(PAYLOADS)
    for name in PAYLOADS:
        event = events_pb2.Event(sequence=3, type="x", request_id="req_1")
        getattr(event, name).SetInParent()
        typed = event_from_proto(event, "log")
        assert type(typed) is PAYLOADS[name][0]
        assert (typed.sequence, typed.request_id, typed.cursor.log_id) == (3, "req_1", "log")


def test_an_event_of_a_newer_server() -> None:
    newer = events_pb2.Event(sequence=3, type="router.decided").SerializeToString() + b"\xfa\x07\x01x"
    event = event_from_proto(events_pb2.Event.FromString(newer), "log")
    assert type(event) is UnknownEvent
    assert (event.type, event.sequence) == ("router.decided", 3)
    assert b"\xfa\x07\x01x" in event.raw


def test_structured_deltas_and_custom_data() -> None:
    delta = events_pb2.Event(item_delta=events_pb2.ItemDelta(item_id="i", value=json_value({"n": 1})))
    match event_from_proto(delta, ""):
        case ItemDelta(item_id="i", text="", value={"n": 1}):
            pass
        case other:
            pytest.fail(str(other))
    custom = events_pb2.Event(custom=events_pb2.CustomEvent(name="ping"))
    assert event_from_proto(custom, "") == CustomEvent(
        name="ping", data=None, time=event_from_proto(custom, "").time
    )
    assert Scope.from_proto(99) is Scope.UNKNOWN


@pytest.mark.parametrize("expected", [object, dict[str, list[int]]])
def test_dense_text_behind_blanks_is_read(expected: type) -> None:
    text = b'{\n  "n": [' + b",".join([b"1"] * 3000) + b"]\n}"
    assert codec.decode(text, expected) == {"n": [1] * 3000}
    assert plain_value(Value(json=text)) == {"n": [1] * 3000}


def test_text_that_is_no_json_is_refused_with_its_place() -> None:
    with pytest.raises(ResponseValidationError, match="line 1 column"):
        codec.decode(b"[1,]", object)
