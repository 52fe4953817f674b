"""Pairs of models of a shared record, and what two flows that declare them may do with it."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import pathlib
import uuid
from collections import deque
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, cast

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
