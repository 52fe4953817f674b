"""Validation at run time: strict, as JSON, of the touched fields; and the normal form that is stored."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    computed_field,
    field_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from flowstate_server.errors import StateValidationError, Violation
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply, difference
from tests.unit.schemas.pydantic import checks
from tests.unit.schemas.pydantic.checks import schema_of


class Color(enum.Enum):
    RED = "red"


class Cat(BaseModel):
    kind: Literal["cat"]
    weight: float


class Dog(BaseModel):
    kind: Literal["dog"]
    weight: int


T = TypeVar("T")


class Pair(BaseModel, Generic[T]):
    one: T
    two: T


class Node(BaseModel):
    value: float
    children: list[Node] = []


class Scores(RootModel[list[float]]):
    pass


class Everything(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)
    _private: int = PrivateAttr(1)

    i: int
    f: float
    b: bool
    s: Annotated[str, Field(max_length=5, pattern="^[a-z]*$")]
    maybe: int | None
    when: dt.datetime
    day: dt.date
    span: dt.timedelta
    uid: uuid.UUID
    money: Decimal
    color: Color
    literal: Literal["a", 1]
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]]
    either: int | str
    number: int | float
    by_key: dict[str, Cat]
    by_day: dict[dt.date, float]
    pair: Pair[float]
    tree: Node
    scores: Scores
    kinds: set[float]
    row: tuple[int, float]
    low: Annotated[int, Field(ge=0, le=10)] = 0
    anything: Any = None

    @computed_field
    def twice(self) -> int:
        return 2


SCHEMA = schema_of(Everything)


def check(state: Any, *touched: str) -> JsonObject:
    return checks.check(state, *touched, schema=SCHEMA)


def refusal(state: Any, *touched: str) -> tuple[Violation, ...]:
    return checks.refusal(state, *touched, schema=SCHEMA)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("i", 2**63 - 1),
        ("f", 1.5),
        ("f", -0.0),
        ("b", True),
        ("s", "abc"),
        ("maybe", None),
        ("when", "2026-01-02T12:00:00Z"),
        ("day", "2026-01-02"),
        ("span", "PT1S"),
        ("uid", "00000000-0000-0000-0000-000000000001"),
        ("money", "1.50"),
        ("color", "red"),
        ("literal", 1),
        ("pets", [{"kind": "cat", "weight": 1.0}, {"kind": "dog", "weight": 1}]),
        ("either", "1"),
        ("by_key", {"x/y": {"kind": "cat", "weight": 1.5}}),
        ("low", 10),
        ("anything", {"any": [1, 1.0, None]}),
    ],
)
def test_what_fits_is_stored_as_it_is(name: str, value: Any) -> None:
    state = {name: value}
    assert check(state) is state


@pytest.mark.parametrize(
    ("name", "value", "path", "rule"),
    [
        ("i", "5", "/i", "int_type"),
        ("i", 1.0, "/i", "int_type"),
        ("i", True, "/i", "int_type"),
        ("i", None, "/i", "int_type"),
        ("f", "1.0", "/f", "float_type"),
        ("f", True, "/f", "float_type"),
        ("b", 1, "/b", "bool_type"),
        ("b", "true", "/b", "bool_type"),
        ("s", 1, "/s", "string_type"),
        ("s", "toolong", "/s", "string_too_long"),
        ("s", "A", "/s", "string_pattern_mismatch"),
        ("when", 1, "/when", "datetime_type"),
        ("when", "yesterday", "/when", "date"),
        ("uid", "1", "/uid", "uuid_parsing"),
        ("color", "blue", "/color", "enum"),
        ("literal", "b", "/literal", "literal_error"),
        ("pets", [{"kind": "cat", "weight": 1.0}, {"kind": "cow"}], "/pets/1", "union_tag_invalid"),
        ("pets", [{"kind": "dog", "weight": 1.0}], "/pets/0/weight", "int_type"),
        ("pets", [{"kind": "cat"}], "/pets/0/weight", "missing"),
        ("by_key", {"x/y~": {"kind": "cat", "weight": "1"}}, "/by_key/x~1y~0/weight", "float_type"),
        ("by_day", {"c4nary": 1.0}, "/by_day", "date"),
        ("tree", {"value": 1, "children": [{"value": 1, "children": [{"value": None}]}]},
         "/tree/children/0/children/0/value", "float_type"),
        ("low", 11, "/low", "less_than_equal"),
        ("undeclared", 1, "/undeclared", "undeclared"),
        ("a/b", 1, "/a~1b", "undeclared"),
        ("_private", 1, "/_private", "undeclared"),
        ("twice", 2, "/twice", "undeclared"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_place_and_rule(name: str, value: Any, path: str, rule: str) -> None:
    violations = refusal({name: value})
    assert [
        violation for violation in violations if violation.path == path and violation.rule.startswith(rule)
    ]


def test_branches_of_a_union_are_no_part_of_a_path() -> None:
    assert {violation.path for violation in refusal({"either": 1.5})} == {"/either"}


def test_all_that_is_wrong_is_told() -> None:
    found = refusal({"i": "1", "zz": 1, "b": 0, "f": 1.0})
    assert {(v.path, v.rule) for v in found} == {
        ("/zz", "undeclared"),
        ("/i", "int_type"),
        ("/b", "bool_type"),
    }


def test_only_touched_fields_are_looked_at() -> None:
    state = {"i": "stored long ago", "f": 1, "theirs": {1}}
    assert check(state, "f") == {"i": "stored long ago", "f": 1.0, "theirs": {1}}
    assert check(state, "s") is state, "what is absent fits"


def test_removing_what_is_not_declared_is_refused() -> None:
    assert refusal({}, "theirs")[0].rule == "undeclared"


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("f", 1, 1.0),
        ("number", 1, 1),
        ("number", 1.0, 1.0),
        ("pets", [{"kind": "cat", "weight": 1}, {"kind": "dog", "weight": 1}],
         [{"kind": "cat", "weight": 1.0}, {"kind": "dog", "weight": 1}]),
        ("by_key", {"a": {"kind": "cat", "weight": 2, "more": 1}}, {"a": {"kind": "cat", "weight": 2.0}}),
        ("by_day", {"2026-01-02": 1, "2026-01-03": 1.5}, {"2026-01-02": 1.0, "2026-01-03": 1.5}),
        ("pair", {"one": 1, "two": 2.0}, {"one": 1.0, "two": 2.0}),
        ("tree", {"value": 1, "children": [{"value": 2}]},
         {"value": 1.0, "children": [{"value": 2.0, "children": []}]}),
        ("scores", [1, 2.5], [1.0, 2.5]),
        ("kinds", [2.5, 1, 2.5], [1.0, 2.5]),
        ("row", [1, 2], [1, 2.0]),
        ("anything", [1, 1.0], [1, 1.0]),
        ("i", 1, 1),
    ],
)  # fmt: skip
def test_what_validation_returns_is_stored(name: str, given: Any, stored: Any) -> None:
    state = {name: given}
    before = encode_json(state)
    assert encode_json(check(state)) == encode_json({name: stored})
    assert encode_json(state) == before, "the state that was given is not changed"
    assert encode_json(check(check(state))) == encode_json({name: stored})


def test_what_becomes_of_a_neighbor_below_a_touched_field_is_told() -> None:
    state: JsonObject = {"by_day": {"2026-01-02": 1}}  # as stored before the field became a float
    applied = apply(state, op.set_state_record("by_day", "2026-01-03", 2), SCHEMA).checked(SCHEMA)
    assert encode_json(applied.state) == b'{"by_day":{"2026-01-02":1.0,"2026-01-03":2.0}}'
    assert difference(state, applied).changed == {"/by_day/2026-01-02": 1.0, "/by_day/2026-01-03": 2.0}
    assert apply(state, op.patch_state({"i": 1}), SCHEMA).checked(SCHEMA).state["by_day"] is state["by_day"]


def evil(action: Callable[[str], Exception]) -> ModelSchema:
    class Evil(BaseModel):
        field: str

        @field_validator("field")
        @classmethod
        def leak(cls, value: str) -> str:
            raise action(value)

    return schema_of(Evil)


def test_no_value_ever_gets_into_a_violation() -> None:
    canary = "c4nary"
    wrong: list[Any] = [
        {name: value}
        for name in Everything.model_fields
        for value in (
            canary,
            [canary],
            {"k": canary},
            [{"kind": canary}],
            {"value": canary},
            {"one": canary},
        )
    ]
    told = []
    for state in wrong:
        try:
            check(state)
        except StateValidationError as error:
            told.append((str(error), error.violations, error.__cause__, error.__context__))
    assert len(told) > 100
    assert canary not in repr(told)
    leaks: list[Callable[[str], Exception]] = [
        ValueError,
        AssertionError,
        lambda value: PydanticCustomError("leak_" + value, "leak {value}", {"value": value}),
        lambda value: PydanticKnownError("greater_than", {"gt": value}),
        lambda value: PydanticKnownError("literal_error", {"expected": value}),
    ]
    for leak in leaks:
        (violation,) = checks.refusal({"field": canary}, schema=evil(leak))
        assert canary not in repr(violation)
        assert violation.path == "/field"


def test_messages_name_the_limits_of_the_schema() -> None:
    (violation,) = refusal({"when": "yesterday"})
    assert violation.message.startswith("Input should be a valid date")
    assert violation.message.endswith(("date", "datetime"))
    assert refusal({"low": 11})[0].message == "Input should be less than or equal to 10"
    assert refusal({"literal": 2})[0].message == "Input should be 'a' or 1"
