from __future__ import annotations

import pytest

from flowstate_server.model.json_values import JsonObject
from flowstate_server.state.excerpt import excerpt
from flowstate_server.state.json_pointer import parse_pointer

STATE: JsonObject = {"a": {"b": {"c": 1, "d": None}, "e": [1, {"f": 2}]}, "g": None, "": {"/": 3, "~": 4}}


@pytest.mark.parametrize(
    ("pointers", "expected"),
    [
        (["/a/b/c"], {"a": {"b": {"c": 1}}}),
        (["/a/b/d", "/g"], {"a": {"b": {"d": None}}, "g": None}),
        (["/a/b/c", "/a/b"], {"a": {"b": {"c": 1, "d": None}}}),
        (["/a/b", "/a/b/c"], {"a": {"b": {"c": 1, "d": None}}}),
        (["/a/e/1/f", "/a/e/0", "/g/h"], {}),
        (["/a/e"], {"a": {"e": [1, {"f": 2}]}}),
        (["//~1", "//~0"], {"": {"/": 3, "~": 4}}),
        (["/nothing", "/a/nothing", "/a/b/c/d"], {}),
        (["/a/b/c", ""], STATE),
    ],
)
def test_a_state_is_reduced_in_its_own_shape(pointers: list[str], expected: JsonObject) -> None:
    assert excerpt(STATE, [parse_pointer(pointer) for pointer in pointers]) == expected


def test_the_state_stays_as_it_is() -> None:
    part = excerpt(STATE, [("a", "b")])
    part["a"] = None
    assert STATE["a"] != part["a"]
