"""For declarable types and every operation: what is read is what was written, a later write changes nothing else, and
writing the equal value again is no change; or a refusal that names the field. There is no third outcome."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from hypothesis import given, strategies as st
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainSerializer, create_model

from flowstate_server.errors import StateValidationError
from flowstate_server.model.json_values import JsonObject, canonical_json
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply, difference
from flowstate_server.state.operations import Operation
from tests.unit.schemas.pydantic.checks import schema_of

T = TypeVar("T")


class Level(enum.Enum):
    LOW = "low"
    HIGH = 2


class Inner(BaseModel):
    text: Annotated[str, AfterValidator(str.strip)]
    count: Annotated[int, AfterValidator(abs)] = 0


class Pair(BaseModel, Generic[T]):
    one: T
    others: set[T] = Field(default_factory=set)


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    level: Level = Level.LOW


class Node(BaseModel):
    value: float
    children: list[Node] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: bytes = b""


Cents = Annotated[
    Decimal,
    PlainSerializer(lambda value: int(value * 100)),
    BeforeValidator(lambda value: Decimal(value) / 100 if type(value) is int else value),
]
Masked = Annotated[str, PlainSerializer(lambda value: "*" * len(value))]
Growing = Annotated[str, AfterValidator(lambda value: value + "!")]

integers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
floats = st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(timezones=st.just(dt.UTC))
inners = st.builds(Inner, text=texts, count=integers.filter(lambda number: number > -(2**63)))
points = st.builds(Point, x=integers, level=st.sampled_from(Level))
nodes: st.SearchStrategy[Node] = st.recursive(
    st.builds(Node, value=floats),
    lambda inside: st.builds(Node, value=floats, children=st.lists(inside, max_size=2)),
)
cents = integers.filter(lambda number: abs(number) < 10**9).map(lambda number: Decimal(number) / 100)

TABLE: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "int": (int, integers),
    "float": (float, floats),
    "text": (str, texts),
    "optional": (int | None, st.none() | integers),
    "bytes": (bytes, texts.map(str.encode)),
    "moment": (dt.datetime, moments),
    "day": (dt.date, st.dates()),
    "clock": (dt.time, st.times()),
    "span": (dt.timedelta, st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000))),
    "decimal": (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    "id": (uuid.UUID, st.uuids()),
    "level": (Level, st.sampled_from(Level)),
    "set": (set[str], st.sets(texts, max_size=4)),
    "frozen": (frozenset[frozenset[int]], st.frozensets(st.frozensets(integers, max_size=3), max_size=3)),
    "levels": (set[Level], st.sets(st.sampled_from(Level))),
    "deque": (deque[Decimal], st.lists(cents, max_size=3).map(deque)),
    "tuple": (tuple[int, str, set[int]], st.tuples(integers, texts, st.sets(integers, max_size=3))),
    "row": (tuple[dt.date, ...], st.lists(st.dates(), max_size=3).map(tuple)),
    "models": (list[Inner], st.lists(inners, max_size=3)),
    "by number": (dict[int, Inner], st.dictionaries(integers, inners, max_size=3)),
    "by id": (dict[uuid.UUID, set[int]], st.dictionaries(st.uuids(), st.sets(integers, max_size=3), max_size=3)),
    "by day": (dict[dt.date, float], st.dictionaries(st.dates(), floats, max_size=3)),
    "generic": (Pair[dt.date], st.builds(Pair[dt.date], one=st.dates(), others=st.sets(st.dates(), max_size=3))),
    "dataclass": (list[Point], st.lists(points, max_size=3)),
    "dataclass set": (set[Point], st.sets(points, max_size=3)),
    "tree": (Node, nodes),
    "tagged": (
        list[Annotated[Cat | Dog, Field(discriminator="kind")]],
        st.lists(st.builds(Cat, lives=integers) | st.builds(Dog, name=texts.map(str.encode)), max_size=3),
    ),
    "either": (int | list[str] | None, st.none() | integers | st.lists(texts, max_size=2)),
    "cents": (Cents, cents),
    "cents list": (list[Cents], st.lists(cents, max_size=3)),
    "anything": (Any, st.recursive(
        st.none() | st.booleans() | integers | floats | texts,
        lambda inside: st.lists(inside, max_size=2) | st.dictionaries(texts, inside, max_size=2),
    )),
    "masked": (Masked, texts),
    "growing": (Growing, texts.filter(bool)),
}  # fmt: skip
LOST = ("masked", "growing")
SCHEMAS: dict[str, tuple[Any, ModelSchema]] = {}
for title, (kind, _) in TABLE.items():
    model = create_model("State", field=(kind, ...), other=(int, 0))
    SCHEMAS[title] = model, schema_of(model)


def written(
    state: JsonObject, operations: tuple[Operation, ...], schema: ModelSchema
) -> tuple[JsonObject, bool]:
    applied = apply(state, operations, schema).checked(schema)
    return applied.state, not difference(state, applied).empty


def ways(value: Any, model: Any, schema: ModelSchema) -> list[Callable[[], JsonObject]]:
    """The operations that can write ``value``, each of an empty state."""

    def whole() -> JsonObject:
        made = model.model_construct(field=value, other=0)
        state = written({}, op.set_state(made, schema.fields_json), schema)[0]
        return {"field": state["field"]}

    def pushed() -> JsonObject:
        return written({}, op.push_state("field", value, schema.element_json), schema)[0]

    def records() -> JsonObject:
        state: JsonObject = {"field": {}}
        for key, record in value.items():
            state = written(state, op.set_state_record("field", key, record, schema.record_json), schema)[0]
        return state

    found = [lambda: written({}, op.patch_state({"field": value}, schema.fields_json), schema)[0], whole]
    shape = schema.shape("field")["type"]
    if shape in ("list", "set", "frozenset", "deque") or "variadic" in schema.shape("field"):
        found += [pushed] if shape != "tuple" or schema.shape("field")["variadic"] is not None else []
    if shape == "dict" and all(str(key) for key in value):
        found.append(records)
    return found


@pytest.mark.parametrize("title", TABLE)
@given(data=st.data())
def test_what_is_read_is_what_was_written(title: str, data: st.DataObject) -> None:
    value = data.draw(TABLE[title][1])
    model, schema = SCHEMAS[title]
    for write in ways(value, model, schema):
        if title in LOST and value:
            with pytest.raises(StateValidationError, match="/field"):
                write()
            continue
        state = write()
        view = schema.view(model, state)
        assert view.field == value
        after, _ = written(state, op.patch_state({"other": 1}, schema.fields_json), schema)
        assert canonical_json(after) == canonical_json({**state, "other": 1})
        for again in (value, view.field):
            assert written(state, op.patch_state({"field": again}, schema.fields_json), schema) == (
                state,
                False,
            )
        assert schema.with_defaults(state)["field"] == state["field"]
        assert schema.unreadable(state, ["field"]) == frozenset()
