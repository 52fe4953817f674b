"""A state with fields of all kinds of types, and writing it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import re
import uuid
from collections import deque
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    dataclasses as pydantic_dataclasses,
    field_serializer,
)

from flowstate_server.model.json_values import JsonObject
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply
from flowstate_server.state.operations import Operation
from tests.unit.schemas.pydantic.checks import schema_of


class Public(BaseModel):
    name: str


class Loose(BaseModel):
    inside: Any


class Account(Public):
    password_hash: str = "c4nary"


@dataclasses.dataclass
class Point:
    x: int
    tags: set[str] = dataclasses.field(default_factory=set)


@pydantic_dataclasses.dataclass(frozen=True)
class Spot:
    x: float


class Pair(NamedTuple):
    one: int
    two: str


class Color(enum.Enum):
    RED = "red"


class Weight(BaseModel):
    grams: int

    @field_serializer("grams")
    def with_unit(self, value: int) -> str:
        return f"{value} g"


class Measured(BaseModel):
    grams: Annotated[int, BeforeValidator(lambda text: int(str(text).split()[0]))]

    @field_serializer("grams")
    def with_unit(self, value: int) -> str:
        return f"{value} g"


class Raw(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    data: bytes


class Everything(BaseModel):
    n: int = 0
    tags: set[str] = set()
    frozen: frozenset[int] = frozenset()
    data: bytes = b""
    raw: Raw | None = None
    queue: deque[Decimal] = deque()
    pattern: re.Pattern[str] | None = None
    point: Point | None = None
    points: list[Point] = []
    spots: dict[str, Spot] = {}
    owner: Public | None = None
    members: list[Public] = []
    by_number: dict[int, Public] = {}
    by_id: dict[uuid.UUID, set[str]] = {}
    by_day: dict[dt.date, Decimal] = {}
    moments: list[dt.datetime] = []
    color: Color | None = None
    pair: Pair | None = None
    path: Path | None = None
    nested: frozenset[frozenset[str]] = frozenset()
    rows: tuple[int, ...] = ()
    measured: list[Measured] = []
    shade: Annotated[
        Color | None,
        PlainSerializer(lambda color: color and color.name),
        BeforeValidator(lambda name: Color[name] if isinstance(name, str) else name),
    ] = None
    anything: Any = None
    email: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)] = ""
    either: Annotated[int | list[Literal["a"]], Field()] = 0  # fmt: skip


SCHEMA = schema_of(Everything)
DAY, MOMENT, ID = dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC), uuid.UUID(int=7)


def write(state: JsonObject, operations: tuple[Operation, ...], schema: ModelSchema = SCHEMA) -> JsonObject:
    return apply(state, operations, schema).checked(schema).state


def patched(state: JsonObject, schema: ModelSchema = SCHEMA, **fields: Any) -> JsonObject:
    return write(state, op.patch_state(fields, schema.fields_json), schema)
