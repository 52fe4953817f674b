"""Models of a caller's own: inputs that would arrive as other values, and outputs that hold what they compute."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    SecretStr,
    TypeAdapter,
    computed_field,
    field_serializer,
    model_serializer,
)

from flowstate_client import FlowStateClient, JsonCodec, ResponseValidationError
from flowstate_client.field_types import field_types
from flowstate_client.proof import proven_text

codec = JsonCodec()


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


class Aliased(BaseModel):
    foo: int = Field(1, validation_alias=AliasChoices("f", "g"), serialization_alias="g")  # type: ignore[pydantic-alias]
    password: SecretStr = Field(alias="pass-word")


class Holder(BaseModel):
    inside: Any = None


class Unwritten(BaseModel):
    """That reads base64 and writes text."""

    model_config = ConfigDict(val_json_bytes="base64")
    data: bytes


class Tagged(BaseModel):
    name: str


class Secretive(Tagged):
    keys: set[bytes] = set()


class Team(BaseModel):
    lead: Tagged


CHANGED_BY_SENDING: list[tuple[Any, str]] = [
    (Excluded(b="real"), "/b"),
    (Starred(t="real"), "/t"),
    (Wrapped(t="real"), "/t"),
    (Renamed(f=7), "/foo"),
    ({"list": [Renamed(f=7)]}, "/list/0/foo"),
    (Holder(inside=[Excluded(b="real")]), "/inside/0/b"),
    (Holder(inside=[b"real"]), "/inside"),
    ({"a": Holder(inside={"b": {"real"}})}, "/a/inside"),
    (Unwritten(data=b"real"), "/data"),
]


@pytest.mark.parametrize(("value", "place"), CHANGED_BY_SENDING)
async def test_f3_an_input_that_would_arrive_as_another_is_not_sent(value: Any, place: str) -> None:
    async with FlowStateClient.connect("127.0.0.1:1") as client:
        with pytest.raises(ValueError, match=f"^{place}: .* reads back as another value") as refused:
            await client.flows.dispatch("chat", "go", value)
        with pytest.raises(ValueError, match=f"^{place}: "):
            client.flows.stream("chat", "go", value)
    assert "real" not in str(refused.value)


def test_f3_an_input_that_arrives_as_it_is_is_sent() -> None:
    aliased = Aliased(**{"f": 7, "pass-word": "hunter2"})  # type: ignore[arg-type]
    assert proven_text([aliased], codec) == '[{"g":7,"pass-word":"hunter2"}]'
    assert proven_text(Excluded(), codec) == '{"a":1}'


def test_f2_of_a_subclass_what_the_type_of_the_field_has_is_sent() -> None:
    team = Team(lead=Secretive(name="ada", keys={b"c4nary"}))
    assert proven_text(team, codec) == '{"lead":{"name":"ada"}}'
    assert field_types(Team).value("lead", team.lead) == {"name": "ada"}  # type: ignore[union-attr]


class Doubled(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: int = 1

    @computed_field
    def dbl(self) -> int:
        return 2 * self.n

    @computed_field(alias="half-n")
    def half(self) -> float | None:
        return None


class AlsoStrict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str


class Doubles(BaseModel):
    model_config = ConfigDict(extra="forbid")
    one: Doubled = Field(alias="first-one")
    several: list[Doubled | AlsoStrict]
    by_name: dict[str, Doubled]

    @computed_field
    def count(self) -> int:
        return len(self.several)


def test_f11_an_output_with_computed_fields_is_read_as_its_own_strict_model() -> None:
    doubled = Doubled(n=4)
    doubles = Doubles.model_validate(
        {"first-one": doubled, "several": [doubled, AlsoStrict(text="a")], "by_name": {"dbl": doubled}}
    )
    for value, expected in (
        (doubled, Doubled),
        ([doubled, Doubled()], list[Doubled]),
        (doubles, Doubles),
        ({"a": doubles}, dict[str, Doubles]),
    ):
        text = TypeAdapter(expected).dump_json(value, by_alias=True)
        assert b'"dbl"' in text
        assert codec.decode(text, expected) == value


@pytest.mark.parametrize("text", [b'{"n":1,"dbl":2,"other":3}', b'{"n":1,"other":3}', b'{"n":"x","dbl":2}'])
def test_f11_what_else_a_strict_model_forbids_is_refused(text: bytes) -> None:
    with pytest.raises(ResponseValidationError, match=r"(other: Extra|n: Input)") as refused:
        codec.decode(text, Doubled)
    assert "dbl" not in str(refused.value.__cause__)


class Filter(BaseModel):
    pattern: re.Pattern[str]


def test_f8_a_pattern_with_flags_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^/a: a pattern's flags"):
        codec.encode({"a": re.compile("a", re.IGNORECASE)})
    with pytest.raises(ValueError, match=r"^/a/pattern: "):
        codec.encode({"a": Filter(pattern=re.compile("a", re.IGNORECASE))})
    plain = re.compile("(?i)a")
    assert codec.encode([plain, Filter(pattern=plain)]) == b'["(?i)a",{"pattern":"(?i)a"}]'


class Appointment(BaseModel):
    model_config = ConfigDict(strict=True)
    when: datetime
    seats: tuple[int, str] = (1, "")
    by_number: dict[int, UUID] = {}
    labels: set[str] = set()
    data: bytes = b""


Looked = Annotated[Appointment, BeforeValidator(lambda value: value)]
"""From the function on, pydantic forgets that it reads JSON."""


def test_a_strict_model_behind_a_function_is_read_as_without_it() -> None:
    appointment = Appointment(
        when=datetime(2026, 11, 29, tzinfo=UTC),
        seats=(2, "ab"),
        by_number={3: UUID(int=7)},
        labels={"a", "b", "c"},
    )
    for value, expected in (
        (appointment, Looked),
        ([appointment], list[Looked]),
        ({"a": [appointment]}, dict[str, list[Looked]]),
    ):
        assert codec.decode(TypeAdapter(expected).dump_json(value), expected) == value
    assert codec.decode(b'{"when":"2026-11-29T00:00:00Z","ignored":1}', Looked).seats == (1, "")


class Day(BaseModel, frozen=True, strict=True):
    date: date


class Calendar(BaseModel):
    """Besides them it has what is not written as it is read."""

    appointments: list[Looked]
    free: set[Annotated[Day, BeforeValidator(lambda day: day)]]
    filters: Json[list[int]]
    shouted: Annotated[str, AfterValidator(lambda text: text + "!")]


def test_what_is_written_otherwise_than_read_stands_beside_a_strict_model_behind_a_function() -> None:
    days = [f"2026-11-{day}" for day in range(10, 30)]
    free = b",".join(b'{"date":"%b"}' % day.encode() for day in days)
    text = (
        b'{"appointments":[{"when":"2026-11-29T00:00:00Z"}],"free":[%b],"filters":"[1]","shouted":"a"}' % free
    )
    read = codec.decode(text, Calendar)
    assert read.free == {Day(date=date.fromisoformat(day)) for day in days}
    assert (read.appointments[0].when, read.filters, read.shouted) == (
        datetime(2026, 11, 29, tzinfo=UTC),
        [1],
        "a!",
    )
    with pytest.raises(ResponseValidationError, match="appointments/0/when"):
        codec.decode(text.replace(b'"2026-11-29T00:00:00Z"', b"1"), Calendar)


@pytest.mark.parametrize(
    "text",
    [
        b'{"when":"tomorrow","data":"x"}',
        b'{"when":"2026-11-29T00:00:00Z","seats":["2",""]}',
        b'{"when":"2026-11-29T00:00:00Z","seats":[2.0,""]}',
        b'{"when":"2026-11-29T00:00:00Z","data":1}',
        b'{"when":1}',
        b'{"data":"x"}',
    ],
)
def test_a_strict_model_behind_a_function_refuses_what_it_refuses_without_it(text: bytes) -> None:
    for expected in (Appointment, Looked, list[Looked]):
        with pytest.raises(ResponseValidationError, match=r"when|seats|data"):
            codec.decode(b"[%b]" % text if expected == list[Looked] else text, expected)
