"""Pairs of declarations and what two flows that share a record may do with them, whichever comes first."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import pathlib
import uuid
from collections import deque
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, cast

import pytest
from annotated_types import Ge, Le, Len, MaxLen, MultipleOf
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    StringConstraints,
    create_model,
    model_validator,
)
from typing_extensions import TypedDict

from flowstate_server.errors import CrossFlowSchemaConflictError
from flowstate_server.flows import Context, Flow, Org, User, action, define_flow, handler
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.programs.agreement import Agreement, agreement
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.declarations import declaration_hash, decode_declaration, encode_declaration

TYPES, SHAPE, VALUES = "incompatible-types", "incompatible-shape", "incompatible-values"
SAME, EXTENDS, LOUDLY = "identical", "extends", "extends loudly"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Farbe(enum.Enum):
    ROT = "red"
    BLAU = "blue"


class Shade(enum.Enum):
    RED = "red"
    BLACK = "black"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Place(BaseModel):
    city: str
    zip: str = ""


class Ort(BaseModel):
    city: str
    zip: str = ""


class Floor(Place):
    floor: int = 0


class Street(Place):
    street: str


class NumberedZip(BaseModel):
    city: str
    zip: int = 0


class OptionalZip(BaseModel):
    city: str
    zip: str | None = ""


class RequiredZip(BaseModel):
    city: str
    zip: str


class OtherZip(BaseModel):
    city: str
    zip: str = "00000"


class ShortZip(BaseModel):
    city: str
    zip: Annotated[str, MaxLen(5)] = ""


class OpenPlace(BaseModel):
    model_config = ConfigDict(extra="allow")
    city: str
    zip: str = ""


class Home(BaseModel):
    place: Place = Place(city="Rome")


class HomeOnFloor(BaseModel):
    place: Floor = Floor(city="Rome")


class House(BaseModel):
    place: Place


class HouseWithOtherZip(BaseModel):
    place: OtherZip


class Tree(BaseModel):
    leaf: str = ""
    branches: list[Tree] = []


class Baum(BaseModel):
    leaf: str = ""
    branches: list[Baum] = []


class Bush(BaseModel):
    leaf: int = 0
    branches: list[Bush] = []


class Point(NamedTuple):
    x: int
    y: int


class Punkt(NamedTuple):
    x: int
    y: int


class Tniop(NamedTuple):
    y: int
    x: int


class Movie(TypedDict):
    name: str


class Film(TypedDict, total=False):
    name: str


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: int = 0


class Ordered(BaseModel):
    low: int = 0
    high: int = 0

    @model_validator(mode="after")
    def in_order(self) -> Ordered:
        if self.low > self.high:
            raise ValueError("low must not be over high")
        return self


class Unordered(BaseModel):
    low: int = 0
    high: int = 0


def strip(value: str) -> str:
    return value.strip()


def fold(value: str) -> str:
    return value.casefold()


Short = Annotated[str, MaxLen(5)]
Missing = None
"""A model that does not have the field."""


def field(declared: Any, default: Any = ...) -> type[BaseModel]:
    return create_model("M", x=(declared, default))


def beside(**fields: Any) -> type[BaseModel]:
    """A model of the field that both have, and of others."""
    return cast(type[BaseModel], create_model("M", x=(int, 0), **fields))


X = beside()
PAIRS: list[tuple[type[BaseModel], type[BaseModel], str]] = [
    # equal by structure, whatever the names are
    (field(int, 0), field(int, 0), SAME),
    (field(str), field(str), SAME),
    (field(str, "a"), field(str, "a"), SAME),
    (field(int | None, None), field(int | None, None), SAME),
    (field(list[str], []), field(list[str], []), SAME),
    (field(list[str], Field(default_factory=list)), field(list[str], []), SAME),
    (field(Colour, Colour.RED), field(Farbe, Farbe.ROT), SAME),
    (field(Literal["a", "b"], "a"), field(Literal["b", "a"], "a"), SAME),
    (field(int | str, 0), field(str | int, 0), SAME),
    (field(Place | None, None), field(Ort | None, None), SAME),
    (field(Tree, Tree()), field(Baum, Baum()), SAME),
    (field(Short, ""), field(Annotated[str, StringConstraints(max_length=5)], ""), SAME),
    (field(Annotated[int, Ge(0), Le(9)], 0), field(Annotated[int, Le(9), Ge(0)], 0), SAME),
    (field(dict[str, list[Place]], {}), field(dict[str, list[Ort]], {}), SAME),
    (
        field(uuid.UUID, Field(default_factory=uuid.uuid4)),
        field(uuid.UUID, Field(default_factory=uuid.uuid4)),
        SAME,
    ),
    (field(Annotated[int, Field(description="one")], 0), field(Annotated[int, Field(title="two")], 0), SAME),
    # defaults
    (field(int, 0), field(int, 1), EXTENDS),
    (field(str, "a"), field(str), EXTENDS),
    (field(int | None, None), field(int | None), EXTENDS),
    (field(list[str], []), field(list[str], ["a"]), EXTENDS),
    (field(str, "a"), field(str, Field(default_factory=lambda: uuid.uuid4().hex)), EXTENDS),
    (field(str), field(str, Field(default_factory=lambda: uuid.uuid4().hex)), EXTENDS),
    (House, HouseWithOtherZip, EXTENDS),
    (field(dict[str, Place], {}), field(dict[str, OtherZip], {}), EXTENDS),
    # fields of one side only
    (X, beside(theme=(str, "light")), EXTENDS),
    (X, beside(theme=(str | None, ...)), EXTENDS),
    (X, beside(theme=(str | None, None)), EXTENDS),
    (X, beside(theme=(str, Field(default_factory=lambda: uuid.uuid4().hex))), EXTENDS),
    (beside(a=(str, "")), beside(b=(str, "")), EXTENDS),
    (X, beside(theme=(str, ...)), LOUDLY),
    (beside(a=(str, "")), beside(b=(str, ...)), LOUDLY),
    (X, beside(place=(Place, ...)), LOUDLY),
    # functions that validate
    (field(str, ""), field(Annotated[str, AfterValidator(strip)], ""), EXTENDS),
    (
        field(Annotated[str, AfterValidator(strip)], ""),
        field(Annotated[str, AfterValidator(fold)], ""),
        EXTENDS,
    ),
    (field(str, ""), field(Annotated[str, BeforeValidator(strip)], ""), EXTENDS),
    (field(list[str], []), field(list[Annotated[str, AfterValidator(fold)]], []), EXTENDS),
    # types
    (field(str, "a"), field(int, 0), SHAPE),
    (field(int, 0), field(bool, False), SHAPE),
    (field(int, 0), field(float, 0.0), TYPES),
    (field(str, ""), field(dt.datetime), TYPES),
    (field(dt.date), field(dt.datetime), TYPES),
    (field(str, ""), field(uuid.UUID), TYPES),
    (field(ipaddress.IPv4Address), field(ipaddress.IPv6Address), TYPES),
    (field(ipaddress.IPv4Address), field(str), TYPES),
    (field(pathlib.Path), field(str), TYPES),
    (field(AnyUrl), field(HttpUrl), VALUES),
    (field(Point), field(Punkt), SAME),
    (field(Decimal), field(float), SHAPE),
    (field(bytes, b""), field(str, ""), TYPES),
    (field(Any, None), field(str, ""), SHAPE),
    (field(list[int], []), field(dict[str, int], {}), SHAPE),
    (field(list[int], []), field(set[int], set()), TYPES),
    (field(list[int], []), field(deque[int], deque()), TYPES),
    (field(tuple[int, ...], ()), field(list[int], []), TYPES),
    (field(tuple[int, int]), field(tuple[int, int, int]), TYPES),
    (field(Point), field(Tniop), SHAPE),
    (field(Place), field(dict[str, str]), SHAPE),
    (field(Movie), field(Film), SHAPE),
    # elements
    (field(list[int], []), field(list[str], []), SHAPE),
    (field(dict[str, int], {}), field(dict[str, float], {}), TYPES),
    (field(dict[str, int], {}), field(dict[int, int], {}), SHAPE),
    (field(list[list[int]], []), field(list[list[int | None]], []), TYPES),
    (field(set[Colour], set()), field(set[Shade], set()), VALUES),
    # nullability
    (field(int, 0), field(int | None, 0), TYPES),
    (field(list[str], []), field(list[str] | None, []), TYPES),
    (field(dict[str, int], {}), field(dict[str, int | None], {}), TYPES),
    (field(str, ""), field(int | None, None), SHAPE),
    # members
    (field(Colour), field(Shade), VALUES),
    (field(Literal["a", "b"]), field(Literal["a", "b", "c"]), VALUES),
    (field(Literal["a", 1]), field(Literal["a", 2]), VALUES),
    (field(Literal["red", "blue"]), field(Colour), TYPES),
    (field(str, "a"), field(Literal["a", "b"], "a"), TYPES),
    (field(Level), field(Colour), SHAPE),
    # constraints
    (field(str, ""), field(Short, ""), VALUES),
    (field(Short, ""), field(Annotated[str, MaxLen(6)], ""), VALUES),
    (field(Annotated[int, Ge(0)], 0), field(Annotated[int, Ge(1)], 1), VALUES),
    (field(int, 0), field(Annotated[int, MultipleOf(5)], 0), VALUES),
    (
        field(Annotated[str, Field(pattern="^a")], "a"),
        field(Annotated[str, Field(pattern="^b")], "b"),
        VALUES,
    ),
    (field(Annotated[list[int], Len(0, 3)], []), field(list[int], []), VALUES),
    (field(list[str], []), field(list[Short], []), VALUES),
    (field(Annotated[str, MaxLen(5), AfterValidator(fold)], ""), field(str, ""), VALUES),
    # nested models: strict
    (field(Place), field(Floor), SHAPE),
    (field(Place), field(Street), SHAPE),
    (field(Place), field(NumberedZip), SHAPE),
    (field(Place), field(OptionalZip), TYPES),
    (field(Place), field(RequiredZip), SHAPE),
    (field(Place), field(ShortZip), VALUES),
    (field(Place), field(OpenPlace), TYPES),
    (field(list[Place], []), field(list[Floor], []), SHAPE),
    (Home, HomeOnFloor, SHAPE),
    (field(Tree), field(Bush), SHAPE),
    # unions
    (field(int | str, 0), field(int | str | None, 0), TYPES),
    (field(int | str, 0), field(int | str | bool, 0), TYPES),
    (field(int, 0), field(int | str, 0), SHAPE),
    (field(Cat | Dog), field(Cat), SHAPE),
    (field(Annotated[Cat | Dog, Field(discriminator="kind")]), field(Cat | Dog), SHAPE),
    (field(Unordered, Unordered()), field(Ordered, Ordered()), EXTENDS),
]


@handler
async def nothing(value: None, ctx: Context) -> None: ...


def flow(kind: str, model: type[BaseModel], scope: str = "user", **options: Any) -> Flow:
    config: Any = {"user": User, "org": Org}[scope](state=model)
    return define_flow(kind, actions={"act": action(block=nothing)}, **{scope: config}, **options)


def verdict(found: Agreement) -> str:
    if found.conflicts:
        return found.conflicts[0].reason
    if any(remark.loud for remark in found.remarks):
        return LOUDLY
    return EXTENDS if found.remarks else SAME


def recorded(of: Flow) -> Any:
    """Its declaration as another process reads it."""
    return decode_declaration(decode_json(encode_json(encode_declaration(of.described.shared))))


def test_there_are_enough_pairs_of_each_kind() -> None:
    expected = [pair[2] for pair in PAIRS]
    assert len(expected) >= 60
    assert set(expected) == {SAME, EXTENDS, LOUDLY, TYPES, SHAPE, VALUES}


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_the_verdict_is_the_same_whichever_flow_comes_first(number: int) -> None:
    one, other, expected = PAIRS[number]
    a, b = flow("a", one), flow("b", other)
    found = agreement(a.described.shared, b.described.shared)
    back = agreement(b.described.shared, a.described.shared)
    assert (verdict(found), verdict(back)) == (expected, expected)
    assert [one.field for one in found.conflicts] == [one.field for one in back.conflicts]
    assert sorted(remark.fields for remark in found.remarks) == sorted(
        remark.fields for remark in back.remarks
    )


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_the_verdict_is_the_same_for_what_another_process_recorded(number: int) -> None:
    one, other, expected = PAIRS[number]
    a, b = flow("a", one), flow("b", other)
    assert verdict(agreement(recorded(a), recorded(b))) == expected
    assert verdict(agreement(recorded(b), recorded(a))) == expected
    assert verdict(agreement(recorded(a), recorded(flow("c", one)))) == SAME
    assert declaration_hash(a.described.shared) == declaration_hash(recorded(a))


@pytest.mark.parametrize("scope", ["user", "org"])
@pytest.mark.parametrize("number", range(0, len(PAIRS), 3))
def test_a_registration_goes_by_the_verdict_and_leaves_no_trace(
    number: int, scope: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, other, expected = PAIRS[number]
    for first, second in ((one, other), (other, one)):
        caplog.clear()
        registry = Catalogue([flow("a", first, scope)])
        if expected in (SAME, EXTENDS, LOUDLY):
            registry.register(flow("b", second, scope))
            assert registry.kinds() == ["a", "b"]
            assert bool(caplog.records) is (expected != SAME)
            continue
        with pytest.raises(CrossFlowSchemaConflictError) as refused:
            registry.register(flow("b", second, scope))
        error = refused.value
        assert (error.reason, error.scope, error.flow_a, error.flow_b) == (expected, scope, "a", "b")
        assert (
            f'({error.reason}: field "{error.field}": {error.detail}). Set isolate_{scope}_state=True'
            in str(error)
        )
        assert registry.kinds() == ["a"]
        assert not caplog.records
        registry.register(flow("b", second, scope, **{f"isolate_{scope}_state": True}))


def test_only_strictly_a_required_field_of_one_side_is_refused() -> None:
    for one, other, expected in PAIRS:
        a, b = (flow(kind, model).described.shared for kind, model in (("a", one), ("b", other)))
        strict = verdict(agreement(a, b, strict=True))
        assert strict == (SHAPE if expected == LOUDLY else expected)


def test_the_first_conflict_is_that_of_the_first_field_by_name() -> None:
    class One(BaseModel):
        zebra: int = 0
        ape: int = 0

    class Other(BaseModel):
        zebra: str = ""
        ape: str = ""

    for first, second in ((One, Other), (Other, One)):
        found = agreement(flow("a", first).described.shared, flow("b", second).described.shared)
        assert [conflict.field for conflict in found.conflicts] == ["ape", "zebra"]


def test_a_conflict_tells_the_place_in_a_nested_model() -> None:
    with pytest.raises(CrossFlowSchemaConflictError) as refused:
        Catalogue([flow("a", field(list[Place], [])), flow("b", field(list[NumberedZip], []))])
    assert refused.value.detail == "/*/zip: str vs int"


def test_recorded_declarations_tell_neither_values_of_functions_nor_addresses() -> None:
    text = encode_json(
        encode_declaration(flow("a", field(Annotated[str, AfterValidator(strip)], "")).described.shared)
    )
    assert b"test_agreement:strip" in text
    assert b"#" not in text
