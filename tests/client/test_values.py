"""What may be sent, what comes back, and how it is said when it may not."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from ipaddress import ip_address, ip_network
from typing import Annotated, Any
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import (
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
    field_serializer,
)
from typing_extensions import TypedDict

from flowstate.v1 import events_pb2, types_pb2
from flowstate.v1.types_pb2 import Value
from flowstate_client import (
    CustomEvent,
    ItemDelta,
    JsonCodec,
    RequestQueued,
    ResourceChange,
    ResponseValidationError,
    Scope,
    StateChange,
    UnknownEvent,
)
from flowstate_client.events import PAYLOADS, event_from_proto
from flowstate_client.models import plain_value
from flowstate_client.state_verbs import StateVerbs
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


class Binary(BaseModel):
    data: bytes


@dataclass
class Blob:
    data: bytes


class Loose(BaseModel):
    inside: Any


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
        (
            [ip_address("::1"), ip_network("10.0.0.0/8"), AnyUrl("http://x.y/z")],
            b'["::1","10.0.0.0/8","http://x.y/z"]',
        ),
        (re.compile("a+"), b'"a+"'),
        ({True: 1, 2: 3, 0.5: 4, Color.RED: 6}, b'{"true":1,"2":3,"0.5":4,"red":6}'),
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
        ({"x": {math.nan: 1}}, "/x: the number is not finite"),
        ({"x": {b"c4nary": 1}}, "/x: a key: bytes have no one JSON form"),
        ({(1,): 2}, "the value: a key is tuple, keys must be text"),
        ({"x": {"k" * 257: 1}}, "/x: a key is over 256 bytes"),
        ({"x": [b"c4nary"]}, "/x/0: bytes have no one JSON form"),
        ({"x": SecretBytes(b"c4nary")}, "/x: bytes have no one JSON form"),
        ({"x": Blob(b"c4nary")}, "/x/data: bytes have no one JSON form"),
        ({"x": Binary(data=b"c4nary\xff")}, "/x/data: this Binary has no JSON form"),
        ({"x": {math.nan}}, "/x: the number is not finite"),
        ({"x": Decimal("NaN")}, "/x: the number is not finite"),
        (Loose(inside=[{"a": math.nan}]), "/inside/0/a: the number is not finite"),
        (Model(inner=INNER, number=-math.inf), "/number: the number is not finite"),
        ({"x": object()}, "/x: object is not a JSON value"),
        (nested(65), "nested over 64 levels"),
    ],
)
def test_what_is_refused(value: Any, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        codec.encode(value)
    assert problem in str(caught.value)
    assert "c4nary" not in str(caught.value)


def test_f11_computed_fields_are_not_sent() -> None:
    class Priced(BaseModel):
        model_config = ConfigDict(extra="forbid")
        n: int

        @computed_field
        def quad(self) -> int:
            return self.n * 4

    assert codec.encode(Priced(n=5)) == b'{"n":5}'
    assert codec.encode({"all": [Priced(n=5)]}) == b'{"all":[{"n":5}]}'
    assert codec.decode(codec.encode(Priced(n=5)), Priced) == Priced(n=5)


def test_f3_a_secret_of_an_input_is_sent_as_what_it_wraps() -> None:
    class Login(BaseModel):
        password: SecretStr = Field(alias="pass-word")
        pins: list[Secret[int]] = []
        raw: SecretBytes = SecretBytes(b"")

    login = Login(**{"pass-word": SecretStr("hunter2"), "pins": [Secret(1)], "raw": SecretBytes(b"raw")})  # type: ignore[arg-type]
    text = codec.encode(login)
    assert text == b'{"pass-word":"hunter2","pins":[1],"raw":"raw"}'
    assert codec.decode(text, Login) == login
    assert (
        codec.encode({"by": {"a": login}, "bare": SecretStr("x")}) == b'{"by":{"a":' + text + b'},"bare":"x"}'
    )


def test_f13_sets_are_sent_in_one_order() -> None:
    class Tagged(BaseModel):
        tags: set[str]
        deep: frozenset[frozenset[str]] = frozenset()

    names = {"b", "a", "d", "c"}
    tagged = Tagged(tags=names, deep=frozenset((frozenset(names), frozenset("e"))))
    assert codec.encode({"tags": names}) == b'{"tags":["a","b","c","d"]}'
    assert codec.encode(tagged) == b'{"tags":["a","b","c","d"],"deep":[["a","b","c","d"],["e"]]}'


def test_f8_what_has_a_json_form_is_sent_in_it() -> None:
    value = {1: "text", UUID(int=1): deque((1, 2)), date(2026, 1, 2): frozenset((2, 1)), Color.RED: INNER}
    assert codec.encode(value) == (
        b'{"1":"text","00000000-0000-0000-0000-000000000001":[1,2],"2026-01-02":[1,2],"red":'
        + INNER_JSON
        + b"}"
    )


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
    newer = events_pb2.Event(sequence=3, type="something.new").SerializeToString() + b"\xfa\x07\x01x"
    event = event_from_proto(events_pb2.Event.FromString(newer), "log")
    assert type(event) is UnknownEvent
    assert (event.type, event.sequence) == ("something.new", 3)
    assert b"\xfa\x07\x01x" in event.raw


def test_what_a_resource_and_a_block_tell() -> None:
    change = events_pb2.ResourceChange(
        scope=types_pb2.SCOPE_KIND_USER,
        name="files/a",
        previous_version=3,
        version=4,
        changed={"/n": json_value(1)},
        removed=["/o"],
        stale=["big"],
        stale_derived=["label"],
        content_changed=True,
    )
    resource = event_from_proto(events_pb2.Event(resource_change=change), "")
    assert resource == ResourceChange(
        scope=Scope.USER,
        name="files/a",
        previous_version=3,
        version=4,
        changed={"/n": 1},
        removed=("/o",),
        stale=("big",),
        stale_derived=("label",),
        content_changed=True,
    )
    state = events_pb2.StateChange(scope=types_pb2.SCOPE_KIND_BLOCK, version=1, owner_path=["a", "b#2"])
    block = event_from_proto(events_pb2.Event(state_change=state), "")
    assert block == StateChange(scope=Scope.BLOCK, version=1, owner_path=("a", "b#2"))
    expiry = events_pb2.RequestQueued(ahead=2, expire_time=Timestamp(seconds=60))
    queued = event_from_proto(events_pb2.Event(request_queued=expiry), "")
    assert queued == RequestQueued(ahead=2, expire_time=datetime(1970, 1, 1, 0, 1, tzinfo=UTC))


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
    assert plain_value(Value(json=text.decode())) == {"n": [1] * 3000}


def test_text_that_is_no_json_is_refused_with_its_place() -> None:
    with pytest.raises(ResponseValidationError, match="line 1 column"):
        codec.decode(b"[1,]", object)


class Masked(BaseModel):
    number: str
    label: str = ""

    @field_serializer("number")
    def masked(self, value: str) -> str:
        return "*" * len(value)


class Card(BaseModel):
    masked: Masked


class Grams(BaseModel):
    """Written as a text, and read from it."""

    grams: Annotated[int, BeforeValidator(lambda text: int(str(text).split()[0]))]

    @field_serializer("grams")
    def with_unit(self, value: int) -> str:
        return f"{value} g"


class HalfEncoded(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64")
    data: bytes


@pytest.mark.parametrize(
    ("write", "place"),
    [
        (lambda verbs: verbs.patch_state(card=Masked(number="4711")), "/card/number"),
        (lambda verbs: verbs.patch_state({"cards": [{"a": Masked(number="4711")}]}), "/cards/0/a/number"),
        (lambda verbs: verbs.set_state(Card(masked=Masked(number="4711"))), "/masked"),
        (lambda verbs: verbs.push_state("cards", Masked(number="4711")), "/cards/number"),
        (lambda verbs: verbs.set_state_record("cards", "a", HalfEncoded(data=b"abcd")), "/cards/data"),
    ],
)
def test_f3_what_the_serializers_of_a_model_hide_is_not_sent_as_state(write: Any, place: str) -> None:
    with pytest.raises(
        ValueError, match=f"^{place}: what the serializers, aliases or exclusions of .* make"
    ) as refused:
        write(Verbs())
    assert "4711" not in str(refused.value)


def test_f3_what_reads_as_it_is_written_is_sent_as_state() -> None:
    same = {"a": Grams(grams=5), "b": Masked(number=""), "c": [Masked(number="**")]}
    (operation,) = Verbs().patch_state(same)
    assert operation.merge.value.json == (
        '{"a":{"grams":"5 g"},"b":{"number":"","label":""},"c":[{"number":"**","label":""}]}'
    )


def test_what_is_refused_names_the_field_of_the_operation() -> None:
    writes: list[tuple[Callable[[], object], str]] = [
        (lambda: Verbs().push_state("a/b", 1, {"x": math.nan}), "/a~1b/x"),
        (lambda: Verbs().set_state_record("by", "k", object()), "/by"),
        (lambda: Verbs().patch_state(a=[object()]), "/a/0"),
    ]
    for write, place in writes:
        with pytest.raises(ValueError, match=f"^{place}: "):
            write()


class Verbs(StateVerbs[list[Any]]):
    _codec = codec

    def _submit(self, ops: Any) -> list[Any]:
        return list(ops)


class Counts(BaseModel):
    counts: dict[str, int]


@pytest.mark.parametrize(
    "keys", [dict.fromkeys(("\ud800", "\ud801"), 1), {"\ud800": 1, "\ufffd\ufffd\ufffd": 2}]
)
def test_f8_keys_with_lone_surrogates_are_refused_by_name(keys: dict[str, int]) -> None:
    for value in (keys, Counts(counts=keys), [{"a": Counts(counts=keys)}]):
        with pytest.raises(
            ValueError, match=r"the text has a lone surrogate|/counts: this Counts has no JSON form"
        ):
            codec.encode(value)
    with pytest.raises(ValueError):
        Verbs().set_state_record("counts", "\ud800", 1)
