"""Unions: refused when the flow is built where JSON can't tell their choices apart, else proven at each write."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import pytest
from pydantic import AfterValidator, AnyUrl, BaseModel, Field, create_model

from flowstate_server.errors import FlowDefinitionError, StateValidationError
from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply
from tests.support.declared_types import (
    Base,
    Box,
    Cat,
    Derived,
    Dog,
    Holding,
    Level,
    Movie,
    Name,
    Number,
    Numbers,
    Pair,
    Point,
    Tree,
    Word,
)
from tests.unit.schemas.pydantic.checks import check, schema_of


class Alike(BaseModel):
    name: str


class Counted(BaseModel):
    name: int


class Wider(Base):
    more: int


class Day(enum.Enum):
    FIRST = dt.date(2026, 1, 1)


class Corner(enum.Enum):
    TOP = (0, 1)


ALIKE = [
    UUID | str, str | dt.datetime, bytes | str, str | Path, Path | dt.date, str | ipaddress.IPv4Address, str | AnyUrl,
    str | Decimal, Word | str, dt.timedelta | dt.time, int | Number, Number | float, Base | Alike, Derived | Base,
    dict[str, str] | Base, dict[str, Any] | Base, Numbers | list[int], set[int] | list[int], frozenset[int] | set[int],
    deque[int] | list[int], tuple[int, int] | list[int], Pair | list[int], list[dt.date] | list[str],
]  # fmt: skip
APART = [
    int | None, bool | int | str | float, Decimal | int, Decimal | float, int | dt.datetime, dt.date | dt.datetime,
    UUID | dt.date, Name | str, Level | int, Literal["a"] | str, Literal["a"] | Literal["b"],
    Annotated[str, Field(max_length=3)] | UUID, str | Annotated[str, AfterValidator(str.strip)], list[int] | list[str],
    list[int] | dict[str, int], tuple[int, int] | tuple[int, int, int], set[str] | None, Base | Counted, Base | Wider,
    Wider | Base, Base | Derived, Cat | Dog, Movie | Base, Movie | dict[str, int], dict[str, int] | Base, Box | Point,
    dict[Literal["a"] | Literal["b"], int], dict[UUID | dt.date, int], dict[Name | str, int],
    Tree | list[Tree], Holding[int] | Holding[str], Any | dt.date,
]  # fmt: skip


def model_of(kind: Any) -> type[BaseModel]:
    return create_model("State", field=(kind, ...))


def around(kind: Any) -> list[Any]:
    class Around(BaseModel):  # not a generic one: pydantic would take A | B for B | A
        one: kind

    return [kind, list[kind], dict[str, tuple[kind, ...]], Around, Annotated[kind | None, Field()]]


@pytest.mark.parametrize("kind", ALIKE, ids=str)
def test_u1_a_union_that_json_does_not_tell_apart_is_refused_by_its_field(kind: Any) -> None:
    for whole in around(kind):
        with pytest.raises(
            FlowDefinitionError, match=r"State\.field holds a union of .* and .*read alike from JSON"
        ):
            schema_of(model_of(whole))


@pytest.mark.parametrize("kind", APART, ids=str)
def test_u1_a_union_that_json_tells_apart_is_taken(kind: Any) -> None:
    for whole in around(kind):
        schema_of(model_of(whole))


def test_u1_the_choices_that_read_alike_are_named() -> None:
    class State(BaseModel):
        ids: list[int | UUID | str | None] = []

    with pytest.raises(FlowDefinitionError, match=r"State\.ids holds a union of uuid and str"):
        schema_of(State)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Base | Derived, [Base(name="a"), Derived(name="a", extra=2)]),
        (Movie | dict[str, int], [{"title": "a", "days": {dt.date(2026, 1, 2)}}, {"a": 1}]),
        (Any | dt.date, [[1, 1.5], "2026-01-02"]),
        (Annotated[str, Field(max_length=3)] | UUID, ["abc", uuid4()]),
    ],
    ids=["models", "objects", "anything", "texts"],
)
def test_u1_values_of_unions_are_read_as_they_were_written(kind: Any, values: list[Any]) -> None:
    model = create_model("State", field=(kind, ...), many=(list[kind], []))
    schema = schema_of(model)
    for value in values:
        state = check({}, schema=schema)
        for given in (value, None):  # then what the view gives is written back
            given = schema.view(model, state).field if given is None else given  # type: ignore[attr-defined]
            fields = {"field": given, "many": [given]}
            state = apply(state, op.patch_state(fields, schema.fields_json), schema).checked(schema).state
            view: Any = schema.view(model, state)
            assert view.field == value
            assert view.model_copy().many == [value]


def test_u1_a_value_that_reads_as_another_choice_is_refused_at_the_write() -> None:
    model = create_model("State", field=(Any | dt.date, ...), many=(list[Any | dt.date], []))
    schema = schema_of(model)
    day = dt.date(2026, 1, 2)
    writes: list[Callable[[], object]] = [
        lambda: op.patch_state({"field": day}, schema.fields_json),
        lambda: op.set_state(model.model_construct(field=day), schema.fields_json),
        lambda: op.push_state("many", [day], schema.element_json),
    ]
    for write in writes:
        with pytest.raises(StateValidationError, match="reads back as another value"):
            write()


@pytest.mark.parametrize(
    ("kind", "member"),
    [
        (Day, "Day.FIRST"),
        (dict[str, list[Corner]], "Corner.TOP"),
        (Literal["a", Word.ONE], "Word.ONE"),
        (Literal[b"a"], "a literal of type bytes"),
    ],
)
def test_f8_members_that_json_has_no_form_for_are_refused_by_the_field(kind: Any, member: str) -> None:
    with pytest.raises(
        FlowDefinitionError, match=rf"State\.field holds {member}, which can't be read from JSON"
    ):
        schema_of(model_of(kind))


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (dict[tuple[int, int], int], "tuple"),
        (list[dict[frozenset[int], int]], "frozenset"),
        (dict[Pair, int], "Pair"),
        (dict[str, dict[Base, int]], "Base"),
    ],
)
def test_f8_keys_that_are_no_text_are_refused_by_the_field(kind: Any, key: str) -> None:
    with pytest.raises(FlowDefinitionError, match=rf"State\.field has keys of type {key}"):
        schema_of(model_of(kind))
