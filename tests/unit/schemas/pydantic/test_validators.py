"""Validators of authors, of every model that declares a field."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from flowstate_server.errors import StateValidationError, Violation
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.state import operations as op
from tests.unit.schemas.pydantic.checks import check, refusal, schema_of


class Named(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def not_root(cls, value: str) -> str:
        if value == "root":
            raise ValueError(f"{value} is c4nary")
        assert value != "wheel", f"{value} c4nary"
        if value == "broken":
            raise RuntimeError("a bug in the validator")
        return value.title()


class Range(BaseModel):
    low: int
    high: int = 10

    @model_validator(mode="after")
    def in_order(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"{self.low} > {self.high}")
        return self


class Stay(BaseModel):
    first: int = 1
    last: int
    nights: int = 0

    @field_validator("last")
    @classmethod
    def after_first(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data["first"]:
            raise ValueError("c4nary")
        return value


def test_field_validators_run_and_what_they_return_is_stored() -> None:
    schema = schema_of(Named)
    state: JsonObject = {"name": "alice"}
    assert check(state, schema=schema) == {"name": "Alice"}
    assert state == {"name": "alice"}
    stored: JsonObject = {"name": "Alice"}
    assert check(stored, schema=schema) is stored
    assert refusal({"name": "root"}, schema=schema) == (
        Violation("/name", "value_error", "refused by a validator"),
    )
    assert refusal({"name": "wheel"}, schema=schema)[0].rule == "assertion_error"
    assert refusal({"name": 1}, schema=schema)[0].rule == "string_type"


def test_a_validator_that_breaks_is_no_refusal() -> None:
    with pytest.raises(RuntimeError) as raised:
        check({"name": "broken"}, schema=schema_of(Named))
    assert raised.value.__notes__ == [
        "raised while the session state was checked, at /name, by its validator"
    ]


EXITS = (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)


def exits(text: str, info: ValidationInfo | None = None) -> str:
    for kind in EXITS:
        if text == kind.__name__:
            raise kind("a secret")
    return text


class Alone(BaseModel):
    other: Annotated[str, AfterValidator(str.strip)] = ""
    text: Annotated[str, AfterValidator(exits)] = ""
    count: int = 0


def made() -> str:
    return exits(to_make["text"])


to_make = {"text": ""}


class Inner(BaseModel):
    made: str = Field(default_factory=made)


class Filled(BaseModel):
    text: Inner | None = None


class Keyed(BaseModel):
    text: dict[Annotated[str, AfterValidator(exits)], int] = {}


class Beside(BaseModel):
    count: int = 0
    text: Annotated[str, BeforeValidator(str)] = ""

    @field_validator("text")
    @classmethod
    def check_it(cls, text: str, info: ValidationInfo) -> str:
        return exits(text)


class Whole(BaseModel):
    text: str = ""
    count: int = 0

    @model_validator(mode="after")
    def check_it(self) -> Whole:
        exits(self.text)
        return self


@pytest.mark.parametrize("kind", EXITS)
@pytest.mark.parametrize(
    ("model", "whose"),
    [
        (Alone, "its validator"),
        (Filled, "its default_factory"),
        (Beside, "its validator"),
        (Whole, "a validator of Whole"),
    ],
)
def test_what_would_end_more_than_a_call_refuses_the_field_by_name(
    model: type[BaseModel], whose: str, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = schema_of(model)
    monkeypatch.setitem(to_make, "text", kind.__name__)
    with pytest.raises(StateValidationError) as refused:
        check({"text": {} if model is Filled else kind.__name__}, schema=schema)
    message = f"can't be checked: {whose} raised {kind.__name__}"
    assert refused.value.violations == (Violation("/text", "validator_raised", message),)
    assert isinstance(refused.value.__cause__, kind)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("kind", EXITS)
def test_what_would_end_more_than_a_call_is_named_wherever_it_is_raised(kind: type[BaseException]) -> None:
    with pytest.raises(StateValidationError, match=f"/text: can't be checked: .* raised {kind.__name__}"):
        op.delete_state_record("text", kind.__name__, schema_of(Keyed).key_json)
    state: JsonObject = {"text": kind.__name__, "count": 1}
    schema = schema_of(Alone)
    view = schema.view(Alone, state)
    assert view.count == 1
    with pytest.raises(
        StateValidationError, match=f"/text: can't be checked: its validator raised {kind.__name__}"
    ):
        view.text  # noqa: B018 - reading is what it is about
    assert schema.read_again(state, ("text", "count")).unreadable == {"text"}


def test_a_model_validator_runs_when_all_fields_are_there_and_defaults_are() -> None:
    schema = schema_of(Range)
    wrong = (Violation("", "value_error", "refused by a validator"),)
    check({"high": 1}, schema=schema)
    assert refusal({"low": 11}, schema=schema) == wrong
    check({"low": 10}, schema=schema)
    assert refusal({"low": 5, "high": 1}, "high", schema=schema) == wrong
    assert refusal({"low": 15}, "high", schema=schema) == wrong, "after unset the default shows"


class Other(BaseModel):
    other: int


class LowDefault(BaseModel):
    low: int = 20


def test_model_validators_of_other_models_are_left_alone() -> None:
    state: JsonObject = {"low": 15, "high": 1, "other": 1}
    assert check(state, "other", schema=schema_of(Range, Other)) is state


def test_a_default_of_another_model_counts_for_a_model_validator() -> None:
    assert refusal({"high": 5}, schema=schema_of(Range, LowDefault))[0].path == ""
    check({"high": 25}, schema=schema_of(Range, LowDefault))


def test_every_declaring_models_validators_run() -> None:
    class Short(BaseModel):
        name: Annotated[str, Field(max_length=3)]

    schema = schema_of(Named, Short)
    assert refusal({"name": "root"}, schema=schema)[0].rule == "value_error"
    assert refusal({"name": "abcd"}, schema=schema)[0].rule == "string_too_long"
    check({"name": "abc"}, schema=schema)


@pytest.mark.parametrize(
    ("state", "touched", "fits"),
    [
        ({"last": 5}, "last", True),
        ({"last": 0}, "last", False),
        ({"first": 3, "last": 2}, "last", False),
        ({"first": 3, "last": 2}, "first", False),
        ({"first": 3}, "first", True),
        ({"first": 3, "last": 3}, "nights", True),
    ],
)
def test_a_field_validator_that_looks_at_other_fields_sees_them(
    state: JsonObject, touched: str, fits: bool
) -> None:
    if fits:
        check(state, touched, schema=schema_of(Stay))
    else:
        assert refusal(state, touched, schema=schema_of(Stay))[0].path == "/last"


def whole(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError("no fractions")
    return value


def test_what_validators_make_must_be_what_they_make_again() -> None:
    class Odd(BaseModel):
        whole: Annotated[float, BeforeValidator(whole)]
        unique: Annotated[list[float], AfterValidator(lambda values: sorted(set(values)))]
        text: Annotated[float, AfterValidator(str)]

    schema = schema_of(Odd)
    assert encode_json(check({"unique": [2, 1, 2]}, schema=schema)) == b'{"unique":[1.0,2.0]}'
    for state in ({"whole": 1}, {"text": 1}):
        assert [violation.rule for violation in refusal(state, schema=schema)] == ["not_a_fixpoint"]


def test_an_empty_schema_declares_nothing() -> None:
    schema = schema_of()
    assert schema.fields == ()
    assert schema.check({"theirs": 1}, frozenset(), {}) == {"theirs": 1}
    assert refusal({"a": 1}, schema=schema)[0].rule == "undeclared"
    assert schema.json_schema() == {"title": "SessionState", "type": "object", "properties": {}}
