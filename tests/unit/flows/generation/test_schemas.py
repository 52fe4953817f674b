"""Types as providers take them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from flowstate_server.flows.generation.schemas import object_schema, wrapped_schema


class Leaf(BaseModel):
    name: str


class Node(BaseModel):
    leaf: Leaf
    children: list[Node] = []


def schema(annotation: Any) -> dict[str, Any]:
    return TypeAdapter(annotation).json_schema()


def test_an_object_stays_as_it_is() -> None:
    assert object_schema(schema(Leaf)) == schema(Leaf)


def test_what_refers_to_itself_has_its_members_at_the_root() -> None:
    found = object_schema(schema(Node))
    assert found is not None
    assert found["type"] == "object"
    assert found["properties"] == schema(Node)["$defs"]["Node"]["properties"]
    assert found["$defs"] == schema(Node)["$defs"]


@pytest.mark.parametrize("annotation", [str, int, list[Leaf], Leaf | None, Any])
def test_what_is_no_object(annotation: Any) -> None:
    assert object_schema(schema(annotation)) is None


def test_what_is_no_object_becomes_the_member_of_one() -> None:
    assert wrapped_schema(schema(list[Leaf])) == {
        "type": "object",
        "properties": {"input": {"type": "array", "items": {"$ref": "#/$defs/Leaf"}}},
        "required": ["input"],
        "additionalProperties": False,
        "$defs": {"Leaf": schema(Leaf)},
    }


def test_nothing_becomes_an_object_without_members() -> None:
    assert wrapped_schema(schema(None)) == {"type": "object", "properties": {}, "additionalProperties": False}
