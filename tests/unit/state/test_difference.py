from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.state import operations as op
from flowstate_server.state.apply import Applied, apply, difference
from flowstate_server.state.difference import MAX_FIELD_BYTES, Difference, difference_at
from flowstate_server.state.operations import Operation


class Fields(BaseModel):
    n: Any
    notes: dict[str, Any]
    log: list[Any]


SCHEMA = merge_declarations(ScopeKind.SESSION, [Declaration(Fields, "test")])


def changed(before: JsonObject, *ops: Operation) -> Difference:
    return difference(before, apply(before, ops, SCHEMA))


def test_lists_what_changed_and_what_is_gone() -> None:
    before: JsonObject = {"n": 1, "notes": {"a": 1, "b": {"c": 1}}, "log": [1]}
    told = changed(
        before,
        *op.inc_state({"n": 1}),
        *op.set_state_record("notes", "x/y", 2),
        *op.delete_state_record("notes", "a"),
        *op.unset_state(["log"]),
    )
    assert told == Difference({"/n": 2, "/notes/x~1y": 2}, ("/log", "/notes/a"), ())
    assert not told.empty


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (0.0, -0.0), (0, False), (None, False), ("1", 1)]
)
def test_equality_is_strict(one: Any, other: Any) -> None:
    assert changed({"n": one}, *op.patch_state({"n": other})).changed == {"/n": other}
    assert changed({"n": [one]}, *op.patch_state({"n": [other]})).changed == {"/n": [other]}
    assert changed({"n": {"a": one}}, *op.patch_state({"n": {"a": one}})).empty


@pytest.mark.parametrize(
    "ops",
    [
        op.patch_state({"n": 1, "notes": {"b": 2, "a": {"x": 1}}}),
        op.inc_state({"n": 0}),
        op.push_state("log", []),
        (*op.inc_state({"n": 1}), *op.inc_state({"n": -1})),
        (*op.set_state_record("notes", "new", 1), *op.delete_state_record("notes", "new")),
        op.unset_state(["other"]),
        (),
    ],
)
def test_what_changes_nothing_is_empty(ops: tuple[Operation, ...]) -> None:
    before: JsonObject = {"n": 1, "notes": {"a": {"x": 1}, "b": 2}, "log": []}
    assert changed(before, *ops).empty


def test_no_place_below_a_listed_one() -> None:
    told = changed(
        {"notes": {"a": 1}}, *op.set_state_record("notes", "b", 1), *op.patch_state({"notes": {"c": 1}})
    )
    assert told == Difference({"/notes": {"c": 1}})


def test_a_made_map_is_listed_whole() -> None:
    assert changed({}, *op.set_state_record("notes", "b", 1)) == Difference({"/notes": {"b": 1}})


def test_much_json_makes_a_field_stale() -> None:
    text = "x" * (MAX_FIELD_BYTES - 2)
    assert changed({}, *op.patch_state({"n": text})).changed == {"/n": text}
    assert changed({}, *op.patch_state({"n": text + "x"})) == Difference(stale=("n",))
    half = "é" * (MAX_FIELD_BYTES // 4)
    told = changed(
        {"notes": {"gone": 1}, "n": 1},
        *op.set_state_record("notes", "a", half),
        *op.set_state_record("notes", "b", half),
        *op.delete_state_record("notes", "gone"),
        *op.inc_state({"n": 1}),
    )
    assert told == Difference({"/n": 2}, (), ("notes",)), "all of one field counts, and only that field"
    assert not told.empty


def test_looks_at_the_touched_places_only() -> None:
    before: JsonObject = {"n": 1, "notes": {"a": 1}}
    after: JsonObject = {"n": 2, "notes": {"a": 2}}
    assert difference_at(before, after, {("n",)}) == Difference({"/n": 2})
    assert difference(before, Applied(after, frozenset(), frozenset(), before)).empty


def test_a_key_that_begins_like_its_parent_is_not_below_it() -> None:
    after: JsonObject = {"n": 1, "n/x": 1, "nx": 1}
    pointers = {("n",), ("n/x",), ("nx",)}
    assert difference_at({}, after, pointers).changed == {"/n": 1, "/n~1x": 1, "/nx": 1}
