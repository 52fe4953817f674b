"""The constructors that blocks use: names, values, refusals."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.errors import JsonInvalidError, JsonLimitError, JsonNumberError, PathInvalidError
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.state import operations as op
from flowstate_server.state.operations import (
    Append,
    DeleteRecord,
    Increment,
    Merge,
    PutRecord,
    Remove,
    SetValue,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class State(BaseModel):
    a: int = 1


def test_each_constructor_makes_its_operation() -> None:
    assert op.set_state({"a": (1,)}) == (SetValue((), {"a": [1]}),)
    assert op.patch_state({"a": (1,)}) == (Merge((), {"a": [1]}),)
    assert op.inc_state({"a": 1, "b/c": -0.5}) == (Increment(("a",), 1), Increment(("b/c",), -0.5))
    assert op.push_state("a", ["x", 1]) == (Append(("a",), ("x", 1)),)
    assert op.set_state_record("a", "k/k", {"x": 1}) == (PutRecord(("a",), "k/k", {"x": 1}),)
    assert op.delete_state_record("a", "k") == (DeleteRecord(("a",), "k"),)
    assert op.unset_state(["a", "b"]) == (Remove(("a",)), Remove(("b",)))
    assert op.unset_state("ab") == (Remove(("ab",)),)


def test_values_become_json_by_the_converter_that_is_given() -> None:
    noon = "2026-01-02T12:00:00Z"
    assert op.set_state({"a": NOON}, to_json) == (SetValue((), {"a": noon}),)
    assert op.set_state(State(), to_json) == (SetValue((), {"a": 1}),)
    assert op.patch_state({"a": NOON}, to_json) == (Merge((), {"a": noon}),)
    assert op.push_state("a", [NOON, 1], to_json) == (Append(("a",), (noon, 1)),)
    assert op.set_state_record("a", "k", NOON, to_json) == (PutRecord(("a",), "k", noon),)
    with pytest.raises(JsonInvalidError, match="/a: a value of type datetime is not JSON"):
        op.patch_state({"a": NOON})


def test_the_author_keeps_no_hold_on_what_was_given() -> None:
    mine: dict[str, Any] = {"list": [1]}
    (patched,) = op.patch_state(mine)
    (pushed,) = op.push_state("f", [mine])
    mine["list"].append(2)
    assert patched == Merge((), {"list": [1]})
    assert pushed == Append(("f",), ({"list": [1]},))


bad: Any = None


@pytest.mark.parametrize(
    ("make", "error", "path"),
    [
        (lambda: op.set_state([1]), JsonInvalidError, ""),
        (lambda: op.patch_state(bad), JsonInvalidError, ""),
        (lambda: op.patch_state({"a": {"b": math.nan}}), JsonNumberError, "/a/b"),
        (lambda: op.inc_state({"a": True}), JsonInvalidError, "/a"),
        (lambda: op.inc_state({"a": "1"}), JsonInvalidError, "/a"),  # type: ignore[dict-item]
        (lambda: op.inc_state({"a": math.inf}), JsonNumberError, "/a"),
        (lambda: op.inc_state({"a": 2**63}), JsonNumberError, "/a"),
        (lambda: op.push_state("a", [{1}]), JsonInvalidError, "/a"),
        (lambda: op.set_state_record("a", "k", b""), JsonInvalidError, "/a/k"),
        (lambda: op.set_state_record("a", bad, 1), JsonInvalidError, "/a"),
        (lambda: op.delete_state_record("a", "k" * 257), JsonLimitError, "/a"),
    ],
)
def test_refuses_what_can_not_be_stored(make: Any, error: type[Exception], path: str) -> None:
    with pytest.raises(error) as refused:
        make()
    assert refused.value.path == path  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [None, 1, "\ud800"])
def test_refuses_what_is_no_field_name(name: Any) -> None:
    with pytest.raises(PathInvalidError):
        op.push_state(name, [1])
    with pytest.raises(PathInvalidError):
        op.unset_state([name])
