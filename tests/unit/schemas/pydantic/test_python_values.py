"""Python values of authors: what becomes JSON, and what is refused by its type and place."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import ipaddress
import math
import pathlib
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from pydantic import (
    AliasChoices,
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    computed_field,
    field_serializer,
    model_serializer,
)

from flowstate_server.errors import JsonInvalidError, JsonLimitError, JsonNumberError
from flowstate_server.model.json_values import canonical_json
from flowstate_server.schemas.pydantic.python_values import input_json, to_json
from tests.unit.state.strategies import values


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    PAIR = (1, 2)


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Box:
    width: int
    points: list[Point]


class Text(str):
    pass


class Inner(BaseModel):
    when: dt.datetime
    tags: set[int] = set()


class Outer(BaseModel):
    inner: Inner
    other: Any = None
    aliased: int = Field(1, alias="ALIASED")

    @computed_field
    def twice(self) -> int:
        return 2


class Custom(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        return {"a": 1}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, [2.0, None], {"a": True}), [1, [2.0, None], {"a": True}]),
        (NOON, "2026-01-02T12:00:00Z"),
        (NOON.date(), "2026-01-02"),
        (dt.timedelta(seconds=90), "PT1M30S"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.50"), "1.50"),
        (pathlib.PurePosixPath("/a"), "/a"),
        (ipaddress.ip_address("::1"), "::1"),
        (AnyUrl("http://x.y/z"), "http://x.y/z"),
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (Plain.PAIR, [1, 2]),
        (Text("t"), "t"),
        ({Color.RED: 1}, {"red": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (Custom(), {"a": 1}),
        (Box(1, [Point(1, 2)]), {"width": 1, "points": [[1, 2]]}),
        (Inner(when=NOON, tags={1}), {"when": "2026-01-02T12:00:00Z", "tags": [1]}),
        (
            Outer(inner=Inner(when=NOON), ALIASED=2),
            {"inner": {"when": "2026-01-02T12:00:00Z", "tags": []}, "other": None, "aliased": 2},
        ),
    ],
)
def test_takes_what_has_a_json_form(value: object, expected: object) -> None:
    converted = to_json(value, "")
    assert canonical_json(converted) == canonical_json(expected)  # type: ignore[arg-type]


def test_subclasses_become_plain() -> None:
    assert type(to_json(Text("t"), "")) is str
    assert type(to_json(Level.HIGH, "")) is int


@pytest.mark.parametrize(
    ("value", "path", "word"),
    [
        ({"a": {1}}, "/a", "set"),
        ({"a": [b"x"]}, "/a/0", "bytes"),
        ({"a": object()}, "/a", "object"),
        (SecretStr("x"), "", "SecretStr"),
        ({"a": Inner}, "/a", "ModelMetaclass"),
        ({"a": Box}, "/a", "type"),
        ({"a": {1: 2}}, "/a", "int"),
        ({"a~/b": {None: 2}}, "/a~0~1b", "NoneType"),
        (iter(()), "", "tuple_iterator"),
        (1j, "", "complex"),
        (["\ud800"], "/0", "surrogate"),
        ({"\ud800": 1}, "", "surrogate"),
        ({"a": Outer(inner=Inner(when=NOON), other=object(), ALIASED=1)}, "/a", "Outer"),
    ],
)
def test_refuses_what_is_not_json_by_type_and_place(value: object, path: str, word: str) -> None:
    with pytest.raises(JsonInvalidError) as refused:
        to_json(value, "/at")
    assert refused.value.path == "/at" + path
    assert word in refused.value.problem


class Loose(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="null")
    x: float


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        2**63,
        -(2**63) - 1,
        Decimal("NaN"),
        Decimal("Infinity"),
        Loose(x=math.nan),
    ],
)
def test_refuses_numbers_that_json_has_not(value: object) -> None:
    with pytest.raises(JsonNumberError):
        to_json({"a": [value]}, "")


def test_refuses_what_contains_itself() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(JsonLimitError):
        to_json(loop, "")


def test_depth_and_key_limits() -> None:
    deep: object = 1
    for _ in range(64):
        deep = {"a": deep}
    assert to_json(deep, "") == deep
    with pytest.raises(JsonLimitError) as refused:
        to_json([deep], "")
    assert refused.value.path == "/0" + "/a" * 63
    assert to_json({"é" * 128: 1}, "") == {"é" * 128: 1}
    with pytest.raises(JsonLimitError):
        to_json({"é" * 129: 1}, "")


def test_a_serializer_that_fails_does_not_tell_the_value() -> None:
    class Raw(BaseModel):
        data: bytes

    with pytest.raises(JsonInvalidError) as refused:
        to_json(Raw(data=b"c4nary\xff"), "")
    assert "c4nary" not in str(refused.value)


@given(values)
def test_gives_a_fresh_tree(value: object) -> None:
    converted = to_json(value, "")
    assert canonical_json(converted) == canonical_json(value)  # type: ignore[arg-type]
    assert not ids(converted) & ids(value)


def ids(value: object) -> set[int]:
    if isinstance(value, dict):
        return {id(value)}.union(*map(ids, value.values()))
    if isinstance(value, list):
        return {id(value)}.union(*map(ids, value))
    return set()


class _Untyped(BaseModel):
    a: Any = None


@pytest.mark.parametrize("value", [math.nan, math.inf, {"y": [1, -math.inf]}, (math.nan,)])
def test_what_is_not_finite_in_an_untyped_field_of_a_model_is_refused(value: object) -> None:
    with pytest.raises(JsonNumberError):
        to_json({"x": _Untyped(a=value)}, "/v")


def test_nulls_of_models_stay_nulls() -> None:
    assert to_json(_Untyped(a=[None, 1.5]), "/v") == {"a": [None, 1.5]}


def test_f3_secrets_of_an_input_are_sent_as_what_they_wrap() -> None:
    class Login(BaseModel):
        password: SecretStr
        others: list[SecretStr] = []

    login = Login(password=SecretStr("hunter2"), others=[SecretStr("x")])
    assert input_json({"a": login}, "") == {"a": {"password": "hunter2", "others": ["x"]}}
    assert input_json(SecretStr("x"), "") == "x"
    for value in (login, {"a": [login]}):
        with pytest.raises(JsonInvalidError, match="SecretStr"):
            to_json(value, "")


class Excluded(BaseModel):
    a: int = 1
    b: str = Field("d", exclude=True)


class Starred(BaseModel):
    t: str

    @field_serializer("t", when_used="json")
    def stars(self, value: str) -> str:
        return "***"


class Wrapped(BaseModel):
    t: str

    @model_serializer(mode="wrap")
    def stars(self, handler: Any) -> Any:
        return {**handler(self), "t": "***"}


class Renamed(BaseModel):
    foo: int = Field(1, validation_alias=AliasChoices("f", "g"), serialization_alias="h")  # type: ignore[pydantic-alias]


class Holder(BaseModel):
    inside: Any = None


CHANGED: list[tuple[Any, str]] = [
    (Excluded(b="real"), "/input/b"),
    (Starred(t="real"), "/input/t"),
    (Wrapped(t="real"), "/input/t"),
    (Renamed(f=7), "/input/foo"),
    ({"a": [Renamed(f=7)]}, "/input/a/0/foo"),
    (Holder(inside=[Excluded(b="real")]), "/input/inside/0/b"),
]


@pytest.mark.parametrize(("value", "path"), CHANGED)
def test_f3_an_input_that_would_be_read_as_another_is_refused(value: object, path: str) -> None:
    with pytest.raises(JsonInvalidError, match="reads back as another value") as refused:
        input_json(value, "/input")
    assert refused.value.path == path
    assert "real" not in str(refused.value)


def test_f3_an_input_is_written_by_the_aliases_it_is_read_by() -> None:
    class Aliased(BaseModel):
        foo: int = Field(1, validation_alias=AliasChoices("f", "g"), serialization_alias="g")  # type: ignore[pydantic-alias]
        password: SecretStr = Field(SecretStr(""), alias="pass-word")

    aliased = Aliased(**{"f": 7, "pass-word": "hunter2"})  # type: ignore[arg-type]
    assert input_json([aliased], "") == [{"g": 7, "pass-word": "hunter2"}]
    assert input_json(Excluded(), "") == {"a": 1}


def test_f3_a_dataclass_that_pydantic_does_not_know_is_an_input() -> None:
    @dataclasses.dataclass
    class Odd:
        unknown: NotToBeFound  # type: ignore[name-defined]  # noqa: F821
        inside: Any = None

    assert input_json(Odd(1, [Excluded()]), "") == {"unknown": 1, "inside": [{"a": 1}]}
    with pytest.raises(JsonInvalidError, match=r"^/inside/0/b: "):
        input_json(Odd(1, [Excluded(b="real")]), "")
