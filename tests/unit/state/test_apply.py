"""Every row of the table of operations (semantics 2) and the notes on the wire's operations."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from flowstate_server.errors import (
    JsonLimitError,
    PathInvalidError,
    StateTestFailedError,
    StateTypeConflictError,
)
from flowstate_server.model.json_values import JsonObject, canonical_json
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply, difference
from flowstate_server.state.json_pointer import parse_pointer
from flowstate_server.state.operations import (
    Append,
    DeleteRecord,
    Increment,
    Merge,
    Operation,
    PutRecord,
    Remove,
    SetValue,
    TestEqual,
    TestExists,
)


class Prefs(BaseModel):
    count: int = 40
    name: str = "?"


class Everything(BaseModel):
    n: int = 5
    ratio: float = 1
    bare: Any = Field()
    tags: list[str] = ["first"]
    maybe: Any = None
    by_id: dict[str, Any] = {"old": 1, "deep": {"x": 1}}
    prefs: Prefs
    people: dict[str, Prefs] = {}


SCHEMA = merge_declarations(ScopeKind.SESSION, [Declaration(Everything, "test")])
P = parse_pointer


@pytest.mark.parametrize(
    ("before", "operations", "after"),
    [
        # set_state
        ({"n": 1, "bare": 2}, op.set_state({"bare": 3}), {"bare": 3}),
        ({"n": 1, "other_flow": 1}, op.set_state({}), {"other_flow": 1}),
        ({}, [SetValue(P("/by_id"), {})], {"by_id": {}}),
        ({"by_id": {"a": 1}}, [SetValue(P("/by_id/b/c"), 1)], {"by_id": {"a": 1, "b": {"c": 1}}}),
        ({}, [SetValue(P("/by_id/new"), 2)], {"by_id": {"old": 1, "deep": {"x": 1}, "new": 2}}),
        # patch_state
        (
            {"n": 1, "tags": []},
            op.patch_state({"n": None, "bare": {"x": 1}}),
            {"n": None, "tags": [], "bare": {"x": 1}},
        ),
        ({"by_id": {"a": {"x": 1}}}, op.patch_state({"by_id": {"a": {}}}), {"by_id": {"a": {}}}),
        ({"n": "text"}, op.patch_state({"n": [1]}), {"n": [1]}),
        ({"by_id": {"a": 1}}, [Merge(P("/by_id"), {"b": 2})], {"by_id": {"a": 1, "b": 2}}),
        ({}, [Merge(P("/bare/x"), {})], {"bare": {"x": {}}}),
        # inc_state
        ({"n": 1}, op.inc_state({"n": 2}), {"n": 3}),
        ({}, op.inc_state({"n": 1}), {"n": 6}),
        ({}, op.inc_state({"bare": 1}), {"bare": 1}),
        ({}, op.inc_state({"maybe": 1}), {"maybe": 1}),
        ({}, op.inc_state({"ratio": 1}), {"ratio": 2.0}),
        ({"n": 1}, op.inc_state({"n": 0.5}), {"n": 1.5}),
        ({"n": 1.0}, op.inc_state({"n": 1}), {"n": 2.0}),
        ({"n": 2**63 - 2}, op.inc_state({"n": 1}), {"n": 2**63 - 1}),
        ({"by_id": {"a": {"n": 1}}}, [Increment(P("/by_id/a/n"), 1)], {"by_id": {"a": {"n": 2}}}),
        ({}, [Increment(P("/by_id/deep/x"), 1)], {"by_id": {"old": 1, "deep": {"x": 2}}}),
        ({}, [Increment(P("/prefs/count"), 1)], {"prefs": {"count": 41}}),
        ({"people": {"a": {}}}, [Increment(P("/people/a/count"), 1)], {"people": {"a": {"count": 41}}}),
        # push_state
        ({"tags": ["a"]}, op.push_state("tags", ["b", "c"]), {"tags": ["a", "b", "c"]}),
        ({}, op.push_state("tags", ["b"]), {"tags": ["first", "b"]}),
        ({}, op.push_state("bare", [[1]]), {"bare": [[1]]}),
        ({}, op.push_state("maybe", []), {"maybe": []}),
        ({"by_id": {}}, [Append(P("/by_id/log"), (1,))], {"by_id": {"log": [1]}}),
        # set_state_record
        ({"by_id": {"a": 1}}, op.set_state_record("by_id", "b/~", 2), {"by_id": {"a": 1, "b/~": 2}}),
        ({}, op.set_state_record("bare", "k", None), {"bare": {"k": None}}),
        ({}, op.set_state_record("by_id", "k", 1), {"by_id": {"old": 1, "deep": {"x": 1}, "k": 1}}),
        ({}, [PutRecord((), "bare", 1)], {"bare": 1}),
        # delete_state_record
        ({"by_id": {"a": 1, "b": 2}}, op.delete_state_record("by_id", "a"), {"by_id": {"b": 2}}),
        ({"by_id": {"a": 1}}, op.delete_state_record("by_id", "zz"), {"by_id": {"a": 1}}),
        ({}, op.delete_state_record("bare", "a"), {}),
        ({}, op.delete_state_record("by_id", "zz"), {}),
        ({}, op.delete_state_record("by_id", "old"), {"by_id": {"deep": {"x": 1}}}),
        # unset_state
        ({"n": 1, "bare": 1}, op.unset_state(["n", "tags"]), {"bare": 1}),
        ({"by_id": {"a": {"b": 1}}}, [Remove(P("/by_id/a/b"))], {"by_id": {"a": {}}}),
        ({}, [Remove(P("/bare/x/y"))], {}),
        # in order, on one working copy
        ({"n": 1}, [*op.inc_state({"n": 1}), *op.unset_state(["n"]), *op.inc_state({"n": 1})], {"n": 6}),
        ({}, [*op.push_state("tags", ["a"]), *op.push_state("tags", ["b"])], {"tags": ["first", "a", "b"]}),
        (
            {},
            [SetValue(P("/bare"), {"l": []}), Append(P("/bare/l"), (1,)), Remove(P("/bare/l"))],
            {"bare": {}},
        ),
    ],
)
def test_effect(before: Any, operations: list[Operation], after: Any) -> None:
    untouched = canonical_json(before)
    applied = apply(before, operations, SCHEMA)
    assert canonical_json(applied.state) == canonical_json(after)
    assert canonical_json(before) == untouched
    assert applied.fields == {pointer[0] for pointer in applied.pointers}


@pytest.mark.parametrize(
    ("before", "operation", "path"),
    [
        ({"n": "1"}, Increment(("n",), 1), "/n"),
        ({"n": True}, Increment(("n",), 1), "/n"),
        ({"n": 2**63 - 1}, Increment(("n",), 1), "/n"),
        ({"n": -(2**63)}, Increment(("n",), -1), "/n"),
        ({"n": 1e308}, Increment(("n",), 1e308), "/n"),
        ({"n": 1}, Increment(("n",), float("nan")), "/n"),
        ({}, Increment(("tags",), 1), "/tags"),
        ({"tags": {}}, Append(("tags",), (1,)), "/tags"),
        ({"tags": "text"}, Append(("tags",), ("c4nary",)), "/tags"),
        ({"by_id": []}, PutRecord(("by_id",), "k", 1), "/by_id"),
        ({"by_id": "x"}, DeleteRecord(("by_id",), "k"), "/by_id"),
        ({"by_id": {"a": [1]}}, SetValue(("by_id", "a", "0"), 1), "/by_id/a"),
        ({"by_id": {"a": 1}}, Increment(("by_id", "a", "b"), 1), "/by_id/a"),
        ({"by_id": {"a": 1}}, Remove(("by_id", "a", "b")), "/by_id/a"),
        ({"by_id": {"a": 1}}, Merge(("by_id", "a"), {}), "/by_id/a"),
        ({}, SetValue((), 1), ""),
        ({}, Merge((), [1]), ""),  # type: ignore[arg-type]
        ({}, Increment((), 1), ""),
        ({}, Append((), (1,)), ""),
    ],
)
def test_conflict(before: Any, operation: Operation, path: str) -> None:
    with pytest.raises(StateTypeConflictError) as refused:
        apply(before, [SetValue(("bare",), 1), operation], SCHEMA)
    assert refused.value.path == path
    assert "c4nary" not in str(refused.value)
    assert "bare" not in before


@pytest.mark.parametrize(
    ("null", "operation", "after"),
    [
        ({"n": None}, Increment(("n",), 2), {"n": 2}),
        ({"tags": None}, Append(("tags",), (1,)), {"tags": [1]}),
        ({"by_id": None}, PutRecord(("by_id",), "k", 1), {"by_id": {"k": 1}}),
        ({"by_id": None}, DeleteRecord(("by_id",), "k"), {"by_id": None}),
        ({"by_id": None}, Remove(("by_id", "k", "l")), {"by_id": None}),
        ({"by_id": None}, Merge(("by_id",), {"k": 1}), {"by_id": {"k": 1}}),
        ({"by_id": None}, Merge(("by_id",), {}), {"by_id": {}}),
        ({"by_id": {"a": None}}, Increment(("by_id", "a"), 1), {"by_id": {"a": 1}}),
        ({"by_id": {"a": None}}, Increment(("by_id", "a", "n"), 1), {"by_id": {"a": {"n": 1}}}),
    ],
)
def test_u2_a_stored_null_counts_as_nothing_as_a_default_that_is_null_does(
    null: JsonObject, operation: Operation, after: JsonObject
) -> None:
    applied = apply(null, [operation], SCHEMA)
    assert applied.state == after
    told = difference(null, applied)
    assert (told.changed != {}) is (null != after)
    assert not told.removed
    for pointer, value in told.changed.items():
        parent: Any = null
        for step in parse_pointer(pointer)[:-1]:  # whoever follows the changes has it already
            parent = parent[step]
        parent[parse_pointer(pointer)[-1]] = value
    assert null == after


def test_the_root_can_not_be_removed() -> None:
    with pytest.raises(PathInvalidError):
        apply({}, [Remove(())], SCHEMA)


@pytest.mark.parametrize("path", [("bare",), ("by_id", "a", "b")])
def test_what_must_exist_and_does_not_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(StateTestFailedError):
        apply({"by_id": {}}, [Remove(path, True)], SCHEMA)


def test_what_must_exist_and_does_is_removed() -> None:
    assert apply({"n": 1}, [Remove(("n",), True)], SCHEMA).state == {}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("fits", "too_deep"),
    [
        (SetValue(("bare",), nested(63)), SetValue(("bare",), nested(64))),
        (SetValue(("bare", "x"), nested(62)), SetValue(("bare", "x"), nested(63))),
        (SetValue(("bare",) * 64, 1), SetValue(("bare",) * 65, 1)),
        (Append(("bare",), (nested(62),)), Append(("bare",), (nested(63),))),
        (PutRecord(("bare",), "k", nested(62)), PutRecord(("bare",), "k", nested(63))),
        (Merge((), {"bare": nested(63)}), Merge((), {"bare": nested(64)})),
        (SetValue((), {"bare": nested(63)}), SetValue((), {"bare": nested(64)})),
    ],
)
def test_a_state_is_no_deeper_than_a_value_may_be(fits: Operation, too_deep: Operation) -> None:
    apply({}, [fits], SCHEMA)
    with pytest.raises(JsonLimitError):
        apply({}, [too_deep], SCHEMA)


@pytest.mark.parametrize(
    "operation",
    [
        PutRecord(("by_id",), "k" * 257, 1),
        SetValue(("by_id", "k" * 257, "x"), 1),
        Merge(("by_id",), {"é" * 129: 1}),
        Increment(("k" * 257,), 1),
    ],
)
def test_keys_have_a_limit(operation: Operation) -> None:
    with pytest.raises(JsonLimitError):
        apply({}, [operation], SCHEMA)


def test_giving_back_another_flows_field_is_no_write_of_it() -> None:
    applied = apply({"n": 1, "theirs": [1.0]}, op.set_state({"n": 2, "theirs": [1.0]}), SCHEMA)
    assert applied.fields == {"n"}
    applied = apply({"n": 1, "theirs": [1.0]}, op.set_state({"n": 2, "theirs": [1]}), SCHEMA)
    assert applied.fields == {"n", "theirs"}


def test_a_map_that_was_made_is_told_as_a_whole() -> None:
    assert apply({}, op.set_state_record("by_id", "k", 1), SCHEMA).pointers >= {("by_id",)}
    assert apply({"by_id": {}}, op.set_state_record("by_id", "k", 1), SCHEMA).pointers == {("by_id", "k")}


@pytest.mark.parametrize(
    ("state", "test", "holds"),
    [
        ({"n": 1}, TestEqual(P("/n"), 1), True),
        ({"n": 1}, TestEqual(P("/n"), 1.0), False),
        ({"n": 1.0}, TestEqual(P("/n"), 1), False),
        ({"n": True}, TestEqual(P("/n"), 1), False),
        ({"bare": {"a": 1, "b": 2}}, TestEqual(P("/bare"), {"b": 2, "a": 1}), True),
        ({"bare": [1, 2]}, TestEqual(P("/bare"), [2, 1]), False),
        ({"by_id": {"a/b": {"x": None}}}, TestEqual(P("/by_id/a~1b/x"), None), True),
        ({"by_id": {}}, TestEqual(P("/by_id/a/x"), None), False),
        ({"bare": None}, TestEqual(P("/bare"), None), True),
        ({}, TestEqual(P("/bare"), None), False),
        ({}, TestEqual(P("/maybe"), None), True),
        ({}, TestEqual(P("/n"), 5), True),
        ({}, TestEqual(P("/by_id/deep/x"), 1), True),
        ({}, TestEqual(P("/people/ada/count"), 40), True),
        ({}, TestEqual((), {}), True),
        ({"n": 1}, TestEqual((), {"n": 1}), True),
        ({"n": 1}, TestEqual((), {}), False),
        ({"n": 1}, TestExists(P("/n"), True), True),
        ({"n": None}, TestExists(P("/n"), True), True),
        ({}, TestExists(P("/n"), True), False),
        ({}, TestExists(P("/n"), False), True),
        ({}, TestExists(P("/by_id/deep"), False), True),
        ({"bare": None}, TestExists(P("/bare/a"), False), True),
        ({"other_flow": 1}, TestExists(P("/other_flow"), True), True),
        ({}, TestExists((), True), True),
    ],
)
def test_tests(state: JsonObject, test: Operation, holds: bool) -> None:
    if holds:
        applied = apply(state, [test], SCHEMA)
        assert (applied.state, applied.fields, applied.pointers) == (state, frozenset(), frozenset())
        return
    with pytest.raises(StateTestFailedError) as refusal:
        apply(state, [test], SCHEMA)
    assert P(refusal.value.path) == test.path


def test_tests_see_the_working_copy() -> None:
    operations: list[Operation] = [
        TestEqual(P("/n"), 5),
        Increment(P("/n"), 1),
        TestEqual(P("/n"), 6),
        Remove(P("/n")),
        TestExists(P("/n"), False),
    ]
    assert apply({"bare": 1}, operations, SCHEMA).state == {"bare": 1}


@pytest.mark.parametrize("test", [TestEqual(P("/bare/a/b"), 1), TestExists(P("/bare/a/b"), False)])
def test_tests_go_through_objects_alone(test: Operation) -> None:
    with pytest.raises(StateTypeConflictError) as refusal:
        apply({"bare": {"a": [1]}}, [test], SCHEMA)
    assert refusal.value.path == "/bare/a"
