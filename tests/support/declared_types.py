"""Classes of all kinds that a field of a state may hold."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    WrapValidator,
    computed_field,
    dataclasses as pydantic_dataclasses,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict

T = TypeVar("T")


class Word(enum.Enum):
    ONE = "one"
    TWO = "two"


class Number(enum.Enum):
    ONE = 1
    HALF = 0.5


class Mixed(enum.Enum):
    TEXT = "1"
    NUMBER = 1


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Name(enum.StrEnum):
    ADA = "ada"
    BOB = "bob"


class Flags(enum.IntFlag):
    READ = 1
    WRITE = 2
    RUN = 4


class Inner(BaseModel):
    text: Annotated[str, AfterValidator(str.strip)] = ""
    count: Annotated[int, AfterValidator(abs)] = 0


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    a: int
    day: dt.date = dt.date(2026, 1, 1)


class Holding(BaseModel, Generic[T]):
    one: T
    others: list[T] = []
    by_name: dict[str, T] = {}


class Tree(BaseModel):
    value: float = 0.0
    children: list[Tree] = []
    by_name: dict[str, Tree] = {}


class Base(BaseModel):
    name: str


class Derived(Base):
    extra: int = 0


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: bytes = b""


class Computed(BaseModel):
    width: int = 1

    @computed_field
    def twice(self) -> int:
        return self.width * 2


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int = 0


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    known: int = 0


class Stripped(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True, str_to_lower=True)
    text: str = ""


class Named(BaseModel):
    """Whose values are no members, but what these wrap."""

    model_config = ConfigDict(use_enum_values=True)
    word: Word = Word.ONE


class Encoded(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    data: bytes = b""
    by_name: dict[str, bytes] = {}


class HalfEncoded(BaseModel):
    """Which can't read what it writes."""

    model_config = ConfigDict(ser_json_bytes="base64")
    data: bytes = b""


class Seconds(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float")
    span: dt.timedelta = dt.timedelta()


class Loose(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    text: str = ""


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    number: int = 0
    when: dt.datetime | None = None
    pair: tuple[int, str] = (0, "")


class Untold(BaseModel):
    inside: Any = None
    some: object = None


class Wrapped(BaseModel):
    """Written as a text, and read from it."""

    one: int = 0
    two: int = 0

    @model_serializer
    def joined(self) -> str:
        return f"{self.one},{self.two}"

    @model_validator(mode="wrap")
    @classmethod
    def split(cls, value: Any, go: Callable[[Any], Wrapped]) -> Wrapped:
        if isinstance(value, str):
            one, _, two = value.partition(",")
            return go({"one": int(one), "two": int(two)})
        return go(value)


class Masked(BaseModel):
    number: str = ""

    @field_serializer("number")
    def masked(self, value: str) -> str:
        return "*" * len(value)


class Shortened(BaseModel):
    """That writes what is not its default."""

    a: int = 1
    b: int = 2

    @model_serializer(mode="wrap")
    def short(self, go: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in go(self).items() if value != 1}


class Checked(BaseModel):
    low: int = 0
    high: int = 0

    @field_validator("high")
    @classmethod
    def not_negative(cls, value: int) -> int:
        return max(value, 0)

    @model_validator(mode="after")
    def ordered(self) -> Checked:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class Numbers(RootModel[list[int]]):
    pass


class Index(RootModel[dict[dt.date, set[int]]]):
    pass


@dataclasses.dataclass
class Point:
    x: int
    tags: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    x: int
    level: Level = Level.LOW


@pydantic_dataclasses.dataclass
class Box:
    when: dt.datetime
    price: Annotated[Decimal, Field(ge=0)] = Decimal(0)


@dataclasses.dataclass
class Blob:
    """Whose bytes are written as whoever holds it says."""

    data: bytes


@pydantic_dataclasses.dataclass(config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))
class EncodedBlob:
    data: bytes


class Pair(NamedTuple):
    one: int
    two: dt.date


class Movie(TypedDict):
    title: str
    year: NotRequired[int]
    days: NotRequired[set[dt.date]]


class Partial(TypedDict, total=False):
    a: int
    b: bytes


Cents = Annotated[
    Decimal,
    BeforeValidator(lambda value: Decimal(value) / 100 if type(value) is int else value),
]
Even = Annotated[int, AfterValidator(lambda value: value - value % 2)]
Growing = Annotated[str, AfterValidator(lambda value: value + "!")]
Clamped = Annotated[int, WrapValidator(lambda value, go: min(go(value), 100))]
