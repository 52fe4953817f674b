"""Comparing two schemas: never "equal" for what differs, with reason and detail."""

from __future__ import annotations

import datetime as dt
import enum
import pathlib
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    create_model,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.comparison import same_shape
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations


def differing(one: Any, other: Any) -> list[tuple[str, str, str]]:
    schemas = []
    for declared in (one, other):
        is_model = (
            isinstance(declared, type)
            and issubclass(declared, BaseModel)
            and "theme" in declared.model_fields
        )
        model = declared if is_model else create_model("M", theme=(declared, ...))
        schemas.append(merge_declarations(ScopeKind.USER, [Declaration(model, "block")]))
    return [tuple(found) for found in same_shape(*schemas)]  # type: ignore[misc]


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class SameColor(enum.Enum):
    ROT = "red"
    BLAU = "blue"


class FewerColors(enum.Enum):
    RED = "red"


class Prefs(BaseModel):
    size: int
    name: str = "x"


class SamePrefs(BaseModel):
    name: str = "y"
    size: int


class RequiredName(BaseModel):
    size: int
    name: str


class MoreTolerant(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int
    name: str = "x"


class CheckedPrefs(BaseModel):
    size: int
    name: str = "x"

    @model_validator(mode="before")
    @classmethod
    def check(cls, data: Any) -> Any:
        return data


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class SameTree(BaseModel):
    value: int
    children: list[SameTree] = []


class OtherTree(BaseModel):
    value: str
    children: list[OtherTree] = []


class Point(NamedTuple):
    x: int


class OtherPoint(NamedTuple):
    x: int


class LongPoint(NamedTuple):
    x: int
    y: int = 0


class Straight(NamedTuple):
    x: int
    y: int


class Turned(NamedTuple):
    y: int
    x: int


class Typed(TypedDict):
    size: int


def validator() -> Callable[[str], str]:
    def check(value: str) -> str:
        return value

    return check


def closing_over(limit: int) -> Callable[[str], str]:
    def check(value: str) -> str:
        assert len(value) < limit
        return value

    return check


def tag(value: Any) -> str:
    return "int" if isinstance(value, int) else "str"


EQUAL: list[tuple[Any, Any]] = [
    (str, str),
    (Color, SameColor),
    (Prefs, SamePrefs),
    (Point, OtherPoint),
    (Tree, SameTree),
    (int | str, str | int),
    (Literal["a", "b"], Literal["b", "a"]),
    (pathlib.Path, pathlib.Path),
    (dict[str, list[Prefs]], dict[str, list[SamePrefs]]),
    (Annotated[Decimal, Field(max_digits=3)], Annotated[Decimal, Field(max_digits=3)]),
    (Annotated[str, AfterValidator(validator())], Annotated[str, AfterValidator(validator())]),
    (Annotated[str, AfterValidator(closing_over(3))], Annotated[str, AfterValidator(closing_over(3))]),
    (create_model("M", theme=(int, 1)), create_model("M", theme=(int, 2))),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal(one: Any, other: Any) -> None:
    assert differing(one, other) == []
    assert differing(other, one) == []


class Lower(BaseModel):
    model_config = ConfigDict(str_to_lower=True)
    theme: str


class Validated(BaseModel):
    theme: str

    @field_validator("theme")
    @classmethod
    def check(cls, value: str) -> str:
        return value


class ValidatedToo(BaseModel):
    theme: str

    @field_validator("theme")
    @classmethod
    def check(cls, value: str) -> str:
        return value * 2


Tagged = Annotated[Annotated[int, Tag("int")] | Annotated[str, Tag("str")], Discriminator(tag)]
OtherTagged = Annotated[
    Annotated[int, Tag("int")] | Annotated[str, Tag("str")], Discriminator(lambda v: "int")
]
Pair = tuple[int, str]

DOUBLING = Annotated[str, AfterValidator(lambda value: value * 2)]
KEEPING = Annotated[str, AfterValidator(lambda value: value)]

DIFFERENT: list[tuple[Any, Any, str, str]] = [
    (str, int, "incompatible-shape", "str vs int"),
    (Prefs, str, "incompatible-shape", "Prefs vs str"),
    (list[int], list[str], "incompatible-shape", "/*: int vs str"),
    (dict[str, int], dict[str, str], "incompatible-shape", "/*: int vs str"),
    (Prefs, Tree, "incompatible-shape", "Prefs vs Tree"),
    (Prefs, RequiredName, "incompatible-shape", "/name: str (with a default) vs str (required)"),
    (Tree, OtherTree, "incompatible-shape", "/value: int vs str"),
    (int, float, "incompatible-types", "int vs float"),
    (str, dt.datetime, "incompatible-types", "str vs datetime"),
    (str, str | None, "incompatible-types", "str vs str | None"),
    (list[int], list[int | None], "incompatible-types", "/*: int vs int | None"),
    (str | None, int, "incompatible-shape", "str | None vs int"),
    (DOUBLING, KEEPING, "incompatible-values", "<lambda>"),
    (list[int], set[int], "incompatible-types", "list[int] vs set[int]"),
    (int | str, int | str | bool, "incompatible-types", "vs"),
    (Point, LongPoint, "incompatible-shape", "vs"),
    (Turned, Straight, "incompatible-shape", "vs"),
    (tuple[int, str], tuple[str, int], "incompatible-types", "tuple[int, str] vs tuple[str, int]"),
    (tuple[int, ...], tuple[int], "incompatible", "vs"),
    (Color, FewerColors, "incompatible-values", "Color['blue', 'red'] vs FewerColors['red']"),
    (Literal["a"], Literal["b"], "incompatible-values", "Literal['a'] vs Literal['b']"),
    (Literal[1], Literal["1"], "incompatible", "vs"),
    (str, Annotated[str, Field(max_length=5)], "incompatible-values", "str vs str(max_length=5)"),
    (
        Annotated[int, Field(ge=1)],
        Annotated[int, Field(ge=2)],
        "incompatible-values",
        "int(ge=1) vs int(ge=2)",
    ),
    (list[int], Annotated[list[int], Field(max_length=1)], "incompatible-values", "max_length=1"),
    (Lower, str, "incompatible-values", "str_to_lower"),
    (Validated, str, "incompatible-values", "Validated.check"),
    (Validated, ValidatedToo, "incompatible-values", "ValidatedToo.check"),
    (Prefs, CheckedPrefs, "incompatible-values", "vs"),
    (Prefs, MoreTolerant, "incompatible", "vs"),
    (Tagged, OtherTagged, "incompatible", "vs"),
    (Typed, create_model("Typed", size=(int, ...)), "incompatible", "vs"),
    (
        Annotated[str, AfterValidator(closing_over(3))],
        Annotated[str, AfterValidator(closing_over(4))],
        "incompatible-values",
        "closing_over",
    ),
]


@pytest.mark.parametrize(("one", "other", "reason", "detail"), DIFFERENT)
def test_different(one: Any, other: Any, reason: str, detail: str) -> None:
    ((field, found, told),) = differing(one, other)
    assert field == "theme"
    assert found.startswith(reason)
    assert detail in told
    assert len(differing(other, one)) == 1


def test_only_fields_that_both_declare_are_compared() -> None:
    one = merge_declarations(ScopeKind.ORG, [Declaration(create_model("A", a=(int, 1), b=(int, 1)), "x")])
    other = merge_declarations(ScopeKind.ORG, [Declaration(create_model("B", b=(str, ""), c=(int, 1)), "y")])
    assert [found.field for found in same_shape(one, other)] == ["b"]
