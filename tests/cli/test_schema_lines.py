"""Schemas as people read them."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from flowstate_server.cli.schema_lines import schema_lines, type_words


class Leaf(BaseModel):
    name: str = Field(min_length=1, pattern="[a-z]+")


class Tree(BaseModel):
    leaf: Leaf | None = None
    leaves: dict[str, Leaf] = {}
    trees: list[Tree] = []
    either: int | str
    constant: Literal["x"] = "x"
    whatever: Any = None


def test_models_in_models_are_told_to_a_depth() -> None:
    lines = list(schema_lines(Tree.model_json_schema()))
    assert lines[0] == ("  leaf", "Leaf | null, default null")
    assert lines[1] == ("    name", 'string, at least 1 character, like "[a-z]+", required')
    assert lines[2] == ("  leaves", "map of Leaf, default {}")
    assert ("  trees", "list of Tree, default []") in lines
    assert ("      trees", "list of Tree, default []") in lines
    assert not any(name.startswith("        ") for name, _ in lines)
    assert ("  either", "integer | string, required") in lines
    assert ("  constant", '"x", default "x"') in lines
    assert ("  whatever", "anything, default null") in lines


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "null"}, "null"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "string", "format": "date-time"}, "string (date-time)"),
        ({"type": "object"}, "object"),
        ({"enum": ["a", 1]}, '"a" | 1'),
        ({}, "anything"),
        (True, "anything"),
        (None, "anything"),
        ({"$ref": "#/$defs/Gone"}, "anything"),
    ],
)
def test_types_in_words(schema: Any, words: str) -> None:
    assert type_words(schema) == words
    assert list(schema_lines(schema)) == []
