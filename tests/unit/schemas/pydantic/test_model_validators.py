"""Validators of whole models, which may only refuse, and models that share a field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field, create_model, model_validator

from flowstate_server.errors import StateValidationError
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from tests.unit.schemas.pydantic.checks import check, refusal, schema_of


def test_a_model_validator_may_only_refuse() -> None:
    class Sum(BaseModel):
        a: int = 0
        b: int = 0
        total: int = 0

        @model_validator(mode="after")
        def add(self) -> Sum:
            self.total = self.a + self.b
            return self

    schema = schema_of(Sum)
    (violation,) = refusal({"a": 1, "b": 1}, "a", schema=schema)
    assert (violation.path, violation.rule) == ("/total", "changed_by_model_validator")
    assert check({"a": 1, "b": 1, "total": 2}, "a", schema=schema)["total"] == 2


def test_models_that_share_a_field_must_agree_on_what_it_becomes() -> None:
    class Lower(BaseModel):
        name: Annotated[str, Field(max_length=9)]

        @model_validator(mode="before")
        @classmethod
        def nothing(cls, values: Any) -> Any:
            return values

    class Upper(BaseModel):
        name: Annotated[str, AfterValidator(str.upper)]

    class Small(BaseModel):
        name: Annotated[str, AfterValidator(str.lower)]

    assert check({"name": "ada"}, schema=schema_of(Lower, Upper)) == {"name": "ADA"}
    (violation,) = refusal({"name": "Ada"}, schema=schema_of(Upper, Small))
    assert violation.rule == "declared_differently"
    assert "Upper" in violation.message
    assert "Small" in violation.message


class Outside(BaseModel):
    name: Annotated[str, AfterValidator(lambda text: text.strip().ljust(6, "."))]


class Inside(BaseModel):
    name: Annotated[str, Field(max_length=4)]


def test_models_that_share_a_field_are_both_named_where_one_refuses_what_the_other_makes_of_it() -> None:
    (violation,) = refusal({"name": "c4n"}, schema=schema_of(Outside, Inside))
    assert (violation.path, violation.rule) == ("/name", "string_too_long")
    assert violation.message.endswith("says Inside of what Outside makes of it")
    (violation,) = refusal({"name": 1}, schema=schema_of(Outside))
    assert "makes of it" not in violation.message


def changing(mode: str, change: Callable[[Any], Any]) -> type[BaseModel]:
    def before(cls: object, values: Any) -> Any:
        return change(values)

    def after(self: Any) -> Any:
        return change(self)

    def wrap(cls: object, values: Any, inner: Any) -> Any:
        return change(inner(values))

    body = {"before": classmethod(before), "after": after, "wrap": classmethod(wrap)}[mode]
    decorated: Any = model_validator(mode=mode)(body)  # type: ignore[call-overload]
    return create_model("Sum", a=(int, 0), total=(int, 0), __validators__={"check": decorated})


def with_total(made: Any) -> Any:
    if isinstance(made, dict):
        return {**made, "total": 7}
    return made.model_copy(update={"total": 7})


@pytest.mark.parametrize("mode", ["before", "after", "wrap"])
def test_a_model_validator_of_any_mode_that_changes_a_field_is_refused_by_its_name(mode: str) -> None:
    schema = schema_of(changing(mode, with_total))
    (violation,) = refusal({"a": 1}, schema=schema)
    assert (violation.path, violation.rule) == ("/total", "changed_by_model_validator")
    assert "field validator, or a computed field" in violation.message
    assert check({"a": 1, "total": 7}, "a", schema=schema) == {"a": 1, "total": 7}


def test_a_model_validator_that_forgets_to_return_the_model_is_told_so() -> None:
    (violation,) = refusal({"a": 1}, schema=schema_of(changing("wrap", lambda made: None)))
    assert "of Sum gives no model: it must return self" in violation.message


def test_model_validators_that_are_left_out_are_warned_of_once_with_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Trip(BaseModel):
        begin: int
        end: int
        low: Annotated[int, Field(le=10)] = 0

        @model_validator(mode="after")
        def never(self) -> Trip:
            raise ValueError("c4nary")

    schema = merge_declarations(ScopeKind.USER, [Declaration(Trip, "block")], "travel")
    name = Trip.__qualname__
    for _ in range(2):
        assert check({"begin": 1}, schema=schema) == {"begin": 1}
        assert check({"begin": 1, "end": 2, "low": 99}, "begin", schema=schema)["begin"] == 1
    left_out = f'the model validators of {name} are left out of writes to the user state of flow "travel"'
    assert [record.getMessage() for record in caplog.records] == [
        f"{left_out} while a field of it is absent: end",
        f"{left_out} while a field of it is stale: low",
    ]
    with pytest.raises(StateValidationError):
        check({"begin": 1, "end": 2}, schema=schema)
