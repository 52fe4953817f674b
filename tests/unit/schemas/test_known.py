"""What of stored values a schema knows, quickly and thoroughly."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from pydantic import BaseModel, create_model
from typing_extensions import TypedDict

from flowstate_server.schemas.known import knower, known
from tests.unit.schemas.pydantic.checks import schema_of


class Leaf(BaseModel):
    name: str = ""


class Tree(BaseModel):
    name: str = ""
    children: list[Tree] = []
    by_name: dict[str, Tree] = {}


class Other(BaseModel):
    kind: int


class Movie(TypedDict):
    title: str


class Open(BaseModel, extra="allow"):
    name: str = ""


KNOWN: list[tuple[Any, Any]] = [
    (Leaf, {"name": "a"}),
    (Leaf | None, None),
    (list[Leaf], [{"name": "a"}, {}]),
    (dict[str, list[Leaf]], {"x": [{"name": "a"}]}),
    (deque[Leaf], [{"name": "a"}]),
    (Tree, {"name": "a", "children": [{"name": "b", "children": []}], "by_name": {"c": {"name": "d"}}}),
    (Leaf | Other, {"kind": 1}),
    (Movie, {"title": "a"}),
    (tuple[Leaf, int], [{"name": "a"}, 1]),
    (Open, {"name": "a", "more": {"x": 1}}),
    (dict[str, int], {"x": 1}),
    (Any, {"x": {"y": [1]}}),
]
UNKNOWN: list[tuple[Any, Any, Any]] = [
    (Leaf, {"name": "a", "gone": 1}, {"name": "a"}),
    (Leaf | None, {"gone": 1}, {}),
    (list[Leaf], [{"name": "a"}, {"gone": 1}], [{"name": "a"}, {}]),
    (dict[str, list[Leaf]], {"x": [{"gone": 1}]}, {"x": [{}]}),
    (deque[Leaf], [{"gone": 1}], [{}]),
    (Tree, {"children": [{"children": [{"gone": 1}]}]}, {"children": [{"children": [{}]}]}),
    (Tree, {"by_name": {"c": {"by_name": {"d": {"gone": 1}}}}}, {"by_name": {"c": {"by_name": {"d": {}}}}}),
    (Leaf | Other, {"kind": 1, "gone": 1}, {"kind": 1}),
    (Movie, {"title": "a", "gone": 1}, {"title": "a"}),
    (tuple[Leaf, int], [{"name": "a", "gone": 1}, 1], [{"name": "a"}, 1]),
]


def shape_of(kind: Any) -> Any:
    return schema_of(create_model("State", field=(kind, ...))).shape("field")


@pytest.mark.parametrize(("kind", "value"), KNOWN)
def test_what_is_known_is_shown_as_it_is(kind: Any, value: Any) -> None:
    assert known(shape_of(kind), value) is value


@pytest.mark.parametrize(("kind", "value", "shown"), UNKNOWN)
def test_what_is_not_known_is_left_out_and_never_passed_as_known(kind: Any, value: Any, shown: Any) -> None:
    shape = shape_of(kind)
    assert known(shape, value) == shown
    assert not knower(shape)(value)


@pytest.mark.parametrize(("kind", "value"), KNOWN[:5])
def test_values_of_plain_shapes_are_quickly_known(kind: Any, value: Any) -> None:
    assert knower(shape_of(kind))(value)


@pytest.mark.parametrize("value", [[{"gone": 1}], {"a": {"gone": 1}}])
@pytest.mark.parametrize("kind", [Leaf, list[Leaf], dict[str, Leaf], Tree])
def test_values_of_another_type_are_not_taken_for_known_too_quickly(kind: Any, value: Any) -> None:
    shape = shape_of(kind)
    if knower(shape)(value):
        assert known(shape, value) is value
