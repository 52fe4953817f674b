"""Copy-on-write and differences against a plain model: deep copies, changed in place."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings, strategies as st
from pydantic import BaseModel

from flowstate_server.errors import PathInvalidError, StateTestFailedError, StateTypeConflictError
from flowstate_server.model.json_values import Json, JsonObject, canonical_json, encode_json
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.state.apply import apply, difference
from flowstate_server.state.difference import Difference
from flowstate_server.state.json_pointer import Pointer, parse_pointer
from flowstate_server.state.operations import (
    Append,
    DeleteRecord,
    Increment,
    Merge,
    Operation,
    PutRecord,
    Remove,
    SetValue,
)


class Fields(BaseModel):
    n: Any = 3
    items: Any = [1]
    map: Any = {"k": {"x": 1}}
    bare: Any = None


SCHEMA = merge_declarations(ScopeKind.USER, [Declaration(Fields, "test")])
DEFAULTS: dict[str, Json] = {"n": 3, "items": [1], "map": {"k": {"x": 1}}}

names = st.sampled_from(["n", "items", "map", "bare", "theirs"])
keys = st.sampled_from(["k", "x", "é"])
leaves = st.sampled_from([None, True, 0, 1, 1.0, -0.0, 2**62, "", "text"])
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2), max_leaves=4
)
objects = st.dictionaries(names, values, max_size=4)
paths = st.tuples(names) | st.tuples(names, keys) | st.tuples(names, keys, keys)
numbers = st.sampled_from([0, 1, -1, 2**62, 0.5, -0.0])
operations = st.one_of(
    st.builds(SetValue, paths, values),
    st.builds(SetValue, st.just(()), objects),
    st.builds(Merge, st.just(()), objects),
    st.builds(Merge, paths, st.dictionaries(keys, values, max_size=2)),
    st.builds(Increment, paths, numbers),
    st.builds(Append, paths, st.lists(values, max_size=2).map(tuple)),
    st.builds(Remove, paths, st.booleans()),
    st.builds(PutRecord, paths, keys, values),
    st.builds(DeleteRecord, paths, keys),
)
states = objects


class Conflict(Exception):
    pass


class PlainModel:
    """The semantics once more, as simple as can be."""

    def __init__(self, state: JsonObject) -> None:
        self.state: Any = copy.deepcopy(state)

    def do(self, operation: Operation) -> None:
        match copy.deepcopy(operation):
            case SetValue((), value):
                kept = {name: v for name, v in self.state.items() if not SCHEMA.declares(name)}
                self.state = {**kept, **value}  # type: ignore[dict-item]
            case SetValue(path, value):
                self.parent(path)[path[-1]] = value
            case Merge(path, fields):
                self.object(path).update(fields)
            case Increment(path, by):
                parent, old = self.parent(path), self.old(path, 0)
                if type(old) not in (int, float) or (type(old + by) is int and abs(old + by) >= 2**63):
                    raise Conflict
                parent[path[-1]] = old + by
            case Append(path, added):
                parent, old = self.parent(path), self.old(path, [])
                if type(old) is not list:
                    raise Conflict
                parent[path[-1]] = old + list(added)
            case Remove(path, must_exist):
                if not self.remove(path) and must_exist:
                    raise Conflict
            case PutRecord(path, key, value):
                self.object(path)[key] = value
            case DeleteRecord(path, key):
                self.remove((*path, key))

    def old(self, path: Pointer, otherwise: Any) -> Any:
        parent = self.parent(path)
        default = DEFAULTS.get(path[0], otherwise) if len(path) == 1 else otherwise
        old = copy.deepcopy(parent.get(path[-1], default))
        return otherwise if old is None else old

    def parent(self, path: Pointer) -> dict[str, Any]:
        return self.object(path[:-1])

    def object(self, path: Pointer) -> dict[str, Any]:
        node = self.state
        for depth, key in enumerate(path):
            if key not in node:
                node[key] = copy.deepcopy(DEFAULTS.get(key, {})) if depth == 0 else {}
            if node[key] is None:
                node[key] = {}
            node = node[key]
            if type(node) is not dict:
                raise Conflict
        return node  # type: ignore[no-any-return]

    def remove(self, path: Pointer) -> bool:
        before = copy.deepcopy(self.state)
        parent = self.parent(path)
        if path[-1] in parent:
            del parent[path[-1]]
            return True
        self.state = before
        return False


def in_order(state: Any) -> bytes:
    return encode_json(state)


@settings(max_examples=400, deadline=None)
@given(states, st.lists(operations, max_size=5))
def test_apply_is_the_plain_model_without_its_copies(state: JsonObject, ops: list[Operation]) -> None:
    before, told = in_order(state), repr(ops)
    model = PlainModel(state)
    try:
        for operation in ops:
            model.do(operation)
    except Conflict:
        expected = None
    else:
        expected = model.state
    try:
        applied = apply(state, ops, SCHEMA)
    except (StateTypeConflictError, StateTestFailedError, PathInvalidError):
        assert expected is None
    else:
        assert expected is not None
        assert canonical_json(applied.state) == canonical_json(expected)
        assert applied.state is not state
    assert in_order(state) == before
    assert repr(ops) == told, "what operations hold is never changed: they may be applied again"


@settings(max_examples=400, deadline=None)
@given(states, st.lists(operations, max_size=5))
def test_a_difference_leads_from_before_to_after(state: JsonObject, ops: list[Operation]) -> None:
    try:
        applied = apply(state, ops, SCHEMA)
    except (StateTypeConflictError, StateTestFailedError, PathInvalidError):
        return
    told = difference(state, applied)
    assert canonical_json(follow(state, told, applied.state)) == canonical_json(applied.state)
    assert told.empty == (canonical_json(state) == canonical_json(applied.state))
    listed = [parse_pointer(text) for text in (*told.changed, *told.removed)]
    assert len(set(listed)) == len(listed)
    assert not [one for one in listed for other in listed if one != other and one[: len(other)] == other]
    touched = applied.pointers
    assert set(listed) <= touched
    for name in state.keys() - applied.fields:
        assert applied.state[name] is state[name], "what was not touched is shared"


def follow(before: JsonObject, told: Difference, after: JsonObject) -> JsonObject:
    """What a client does with a ``state_change``."""
    state: Any = copy.deepcopy(before)
    for text, value in told.changed.items():
        pointer = parse_pointer(text)
        parent_of(state, pointer)[pointer[-1]] = value
    for text in told.removed:
        pointer = parse_pointer(text)
        del parent_of(state, pointer)[pointer[-1]]
    for name in told.stale:
        state[name] = after[name]
    return state  # type: ignore[no-any-return]


def parent_of(state: Any, pointer: Pointer) -> Any:
    for key in pointer[:-1]:
        state = state[key]
    return state
