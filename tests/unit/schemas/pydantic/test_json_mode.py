"""Validators that come before their type get JSON, and their type still takes it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    WrapValidator,
    create_model,
    field_validator,
    model_validator,
)

from flowstate_server.errors import StateValidationError
from flowstate_server.flows.value_type import ValueType
from flowstate_server.model.json_values import encode_json
from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply
from tests.unit.schemas.pydantic.checks import check, schema_of

DAY = dt.date(2026, 1, 2)
AHEAD = [
    BeforeValidator(lambda value: value),
    WrapValidator(lambda value, go: go(value)),
    BeforeValidator(lambda value, info: value),
]


@dataclasses.dataclass
class Point:
    days: set[dt.date]


class Inner(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    type: dt.date
    config: Annotated[set[str], BeforeValidator(lambda value: value)] = set()
    again: list[Inner] = []

    @model_validator(mode="before")
    @classmethod
    def look(cls, value: Any) -> Any:
        return value


class Wrapped(BaseModel):
    day: dt.date

    @model_validator(mode="wrap")
    @classmethod
    def look(cls, value: Any, go: Callable[[Any], Wrapped]) -> Wrapped:
        return go(value)


@pytest.mark.parametrize("ahead", AHEAD)
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (dt.datetime, dt.datetime(2026, 1, 2, tzinfo=dt.UTC)),
        (dt.timedelta, dt.timedelta(1)),
        (Decimal, Decimal("1.50")),
        (bytes, b"a"),
        (Base64Bytes, b"a"),
        (Annotated[set[int], AfterValidator(lambda value: value)], {1}),
        (set[dt.date], {DAY}),
        (tuple[int, ...], (1, 2)),
        (deque[int], deque([1])),
        (dict[dt.date, frozenset[int]], {DAY: frozenset((2, 1))}),
        (defaultdict[Path, list[int]], defaultdict(list, {Path("/a"): [1]})),
        (defaultdict[str, list[Base64Bytes]], defaultdict(list, {"a": [b"\x00"]})),
        (OrderedDict[str, Base64Bytes], OrderedDict(a=b"\x00")),
        (Point, Point({DAY})),
        (Inner, Inner(type=DAY, config={"b", "a"}, again=[Inner(type=DAY)])),
        (Wrapped, Wrapped(day=DAY)),
    ],
)
def test_f8_a_type_behind_a_validator_is_written_and_read(ahead: Any, kind: Any, value: Any) -> None:
    model = create_model(
        "State", field=(Annotated[kind, ahead], ...), many=(list[Annotated[kind, ahead]], [])
    )
    schema = schema_of(model)
    applied = apply({}, op.patch_state({"field": value, "many": [value]}, schema.fields_json), schema)
    pushed = apply(applied.state, op.push_state("many", [value], schema.element_json), schema)
    state = pushed.checked(schema).state
    view: Any = schema.view(model, state)
    assert (view.field, view.many) == (value, [value, value])
    assert ValueType(model, "the input").validate_json(encode_json(state), "") == view


def test_f8_a_model_with_such_a_field_may_be_used_in_many_places() -> None:
    class Held(BaseModel):
        price: Annotated[Decimal, AHEAD[0]]

    class Holder(BaseModel):
        one: Held
        many: list[Held]

    class State(BaseModel):
        held: Held
        holder: Holder

    schema = schema_of(State)
    held = Held(price=Decimal("1.50"))
    fields = {"held": held, "holder": Holder(one=held, many=[held])}
    state = apply({}, op.patch_state(fields, schema.fields_json), schema).checked(schema).state
    assert state["holder"] == {"one": {"price": "1.50"}, "many": [{"price": "1.50"}]}
    assert schema.view(State, state).holder.many[0] == held


def test_f8_a_model_validator_that_comes_first_keeps_no_field_from_being_written() -> None:
    class State(BaseModel):
        day: dt.date
        tags: set[str] = set()
        n: int = 0

        @model_validator(mode="before")
        @classmethod
        def look(cls, value: Any) -> Any:
            if value["n"] < 0:
                raise ValueError("negative")
            return value

    schema = schema_of(State)
    assert check({"day": "2026-01-02", "tags": ["a"], "n": 1}, schema=schema)
    with pytest.raises(StateValidationError, match="refused by a validator"):
        check({"day": "2026-01-02", "tags": ["a"], "n": -1}, schema=schema)


def test_what_a_validator_hands_on_is_still_judged_strictly() -> None:
    class State(BaseModel):
        n: list[int] = []
        day: dt.date | None = None

        @field_validator("n", "day", mode="before")
        @classmethod
        def look(cls, value: Any) -> Any:
            return DAY if value == "today" else value

    schema = schema_of(State)
    assert check({"day": "today"}, schema=schema) == {"day": "2026-01-02"}
    for wrong in ({"n": ["1"]}, {"n": [1.0]}, {"day": 5}, {"day": "tomorrow"}):
        with pytest.raises(StateValidationError, match=f"/{next(iter(wrong))}"):
            check(wrong, schema=schema)
