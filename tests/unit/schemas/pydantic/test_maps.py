"""Which maps are validated record by record, and that it comes to the same."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from flowstate_server.errors import StateValidationError
from flowstate_server.model.json_values import JsonObject
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state.apply import apply
from flowstate_server.state.operations import DeleteRecord, Operation, PutRecord, SetValue


class Color(Enum):
    RED = "red"


class Place(BaseModel):
    name: Annotated[str, AfterValidator(str.strip)]
    color: Color = Color.RED


def _few(value: dict[str, int]) -> dict[str, int]:
    if len(value) > 2:
        raise ValueError("must be few")
    return value


class Maps(BaseModel):
    numbers: dict[str, int] = {}
    places: dict[str, Place] = Field(default_factory=dict)
    maybe: dict[str, list[float]] | None = None
    anything: dict[str, Any] = {}
    named: dict[Annotated[str, StringConstraints(pattern="^k")], int] = {}


class Others(BaseModel):
    limited: Annotated[dict[str, int], Field(max_length=2)] = {}
    judged: Annotated[dict[str, int], AfterValidator(_few)] = {}
    by_number: dict[int, int] = {}
    by_id: dict[UUID, int] = {}
    by_color: dict[Color, int] = {}
    lowered: dict[Annotated[str, StringConstraints(to_lower=True)], int] = {}
    untyped: dict = {}  # type: ignore[type-arg]
    place: Place | None = None
    chosen: dict[str, int] | dict[str, str] = {}


class Whole(BaseModel):
    most: int = 1
    watched: dict[str, int] = {}

    @model_validator(mode="after")
    def _is_little(self) -> Whole:
        if len(self.watched) > self.most:
            raise ValueError("too many")
        return self


class Siblings(BaseModel):
    limit: int = 1
    seen: dict[str, int] = {}

    @field_validator("seen")
    @classmethod
    def _is_below(cls, value: dict[str, int], info: ValidationInfo) -> dict[str, int]:
        if any(one > info.data["limit"] for one in value.values()):
            raise ValueError("too large")
        return value


class Stripped(BaseModel, str_strip_whitespace=True):
    stripped: dict[str, int] = {}


def schema_of(*models: type[BaseModel]) -> ModelSchema:
    return merge_declarations("session", [Declaration(model, model.__name__) for model in models])


SCHEMA = schema_of(Maps)
STATE: JsonObject = {
    "numbers": {"a": 1, "b": 2},
    "places": {"a": {"name": "here", "color": "red"}},
    "maybe": {"a": [1.0]},
    "anything": {"a": {"b": None}},
    "named": {"k": 1},
}


def test_maps_of_records() -> None:
    assert [name for name in SCHEMA.fields if SCHEMA.by_record(name)] == list(Maps.model_fields)


@pytest.mark.parametrize("model", [Others, Whole, Siblings, Stripped])
def test_where_records_hang_on_each_other_or_keys_change(model: type[BaseModel]) -> None:
    schema = schema_of(model)
    assert not [name for name in schema.fields if schema.by_record(name)]


def test_each_of_the_models_that_declare_it_has_to_agree() -> None:
    class Alike(BaseModel):
        numbers: dict[str, int] = {}

        @model_validator(mode="after")
        def _is_fine(self) -> Alike:
            return self

    assert not schema_of(Maps, Alike).by_record("numbers")


WRITES: list[Operation] = [
    PutRecord(("numbers",), "c", 3),
    PutRecord(("numbers",), "c", "three"),
    DeleteRecord(("numbers",), "a"),
    PutRecord(("places",), "b", {"name": " there "}),
    PutRecord(("places",), "a", {"name": 1}),
    SetValue(("places", "a", "name"), " moved "),
    SetValue(("places", "a", "color"), "blue"),
    PutRecord(("maybe",), "b", [1, 2.5]),
    PutRecord(("maybe",), "b", 1),
    PutRecord(("anything",), "b", [1]),
    PutRecord(("named",), "x", 1),
    PutRecord(("named",), "k2", 1),
    SetValue(("numbers",), {"z": 1}),
    SetValue(("maybe",), None),
]


@pytest.mark.parametrize("write", WRITES, ids=repr)
def test_a_record_alone_is_judged_as_with_all_the_others(write: Operation) -> None:
    def made(fitting: frozenset[str]) -> object:
        try:
            applied = apply(STATE, [write], SCHEMA).checked(SCHEMA, fitting)
        except StateValidationError as refused:
            return refused.violations
        return applied.state, applied.pointers, applied.before

    assert made(frozenset(STATE)) == made(frozenset())
