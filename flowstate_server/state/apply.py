"""What each operation does to a state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, NoReturn, TypeVar, cast

from flowstate_server.errors import (
    JsonLimitError,
    PathInvalidError,
    StateTestFailedError,
    StateTypeConflictError,
)
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json, JsonObject, same_json
from flowstate_server.state.difference import Difference, difference_at
from flowstate_server.state.json_limits import MAX_DEPTH, MAX_INT, MIN_INT, TOO_DEEP, check_key
from flowstate_server.state.json_pointer import Pointer, format_pointer
from flowstate_server.state.missing import MISSING, Missing
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
from flowstate_server.state.rules import StateRules

__all__ = ["Applied", "Difference", "apply", "difference"]


MEND = ", or upgrade= it if an older deploy stored it so"

_Container = TypeVar("_Container", dict[str, Json], list[Json])


@frozen
class Applied:
    """A state after operations, not yet checked: ``fields`` are the top-level fields they touched, ``pointers`` the
    places, touched with or without effect. What they did not touch is shared with the state ``before``."""

    state: JsonObject
    fields: frozenset[str]
    pointers: frozenset[Pointer]
    before: JsonObject

    def checked(self, rules: StateRules, fitting: Set[str] = frozenset()) -> Applied:
        """The same in normal form, with the places that the normal form changed among the ``pointers``.

        Of a map among the fields that were found ``fitting`` in the state before, the touched records are judged alone.

        Raises:
            StateValidationError: see :meth:`StateRules.check`.
        """
        touched = self._touched_records(rules, fitting)
        if not touched:
            return self.normalized(rules.check(self.state, self.fields, self.before))
        state = {**self.state, **_records(self.state, touched)}
        normal = rules.check(state, self.fields, {**self.before, **_records(self.before, touched)})
        if normal is state:
            return self
        changed = {
            name: normal[name] for name in self.fields & normal.keys() if normal[name] is not state[name]
        }
        for name in touched.keys() & changed.keys():
            changed[name] = {**self._map(name), **cast(JsonObject, changed[name])}
        return self.normalized({**self.state, **changed})

    def _touched_records(self, rules: StateRules, fitting: Set[str]) -> dict[str, set[str]]:
        """Their keys, by the name of the map."""
        touched: dict[str, set[str]] = {
            name: set() for name in self.fields & fitting if rules.by_record(name)
        }
        for pointer in self.pointers:
            name = pointer[0]
            if name in touched:
                both = type(self.state.get(name)) is dict and type(self.before.get(name)) is dict
                if len(pointer) > 1 and both:
                    touched[name].add(pointer[1])
                else:
                    del touched[name]
        return touched

    def _map(self, name: str) -> JsonObject:
        return cast(JsonObject, self.state[name])

    def normalized(self, normal: JsonObject) -> Applied:
        """The same with ``normal``, which shares what it has not changed."""
        if normal is self.state:
            return self
        pointers = set(self.pointers)
        for name in self.fields:
            _add_moved(self.state.get(name), normal.get(name), (name,), pointers)
        return Applied(normal, self.fields, frozenset(pointers), self.before)


def apply(state: JsonObject, operations: Sequence[Operation], rules: StateRules) -> Applied:
    """The state after ``operations``, in order, all or none; ``state`` and all in it stay as they are.

    Missing objects on the way to a path are made, a top-level one from its default. Null counts as nothing, be it a
    default or stored: there a count begins at 0, a list is empty, and an object is made.

    Raises:
        StateTypeConflictError: not a number, list or object where the operation needs one; a sum outside int64 or not
            finite.
        PathInvalidError: removing the root. StateTestFailedError: a test does not hold, or what must exist does not.
        JsonLimitError: the state would be nested too deep, or get a key too long.
    """
    work = _Work(state, rules)
    for operation in operations:
        _APPLY[type(operation)](work, operation)
    fields = frozenset([pointer[0] for pointer in work.touched])
    return Applied(work.root, fields, frozenset(work.touched), state)


def difference(before: JsonObject, applied: Applied) -> Difference:
    """What a ``state_change`` event tells of ``applied``, which was made of ``before``; see :class:`Difference`."""
    return difference_at(before, applied.state, applied.pointers)


def _records(state: JsonObject, keys: Mapping[str, Set[str]]) -> JsonObject:
    """The maps that ``keys`` name, with those records alone."""
    return {
        name: {key: records[key] for key in some if key in records}
        for name, some in keys.items()
        for records in (cast(JsonObject, state[name]),)
    }


class _Work:
    """The working copy. Containers are copied when first changed; ``_own`` holds those that are ours to change."""

    __slots__ = ("_own", "_rules", "root", "touched")

    def __init__(self, state: JsonObject, rules: StateRules) -> None:
        self.root = dict(state)
        self.touched: set[Pointer] = set()
        self._rules = rules
        self._own: dict[int, Json] = {}

    def test_equal(self, operation: TestEqual) -> None:
        found = self._seen(operation.path, self._rules.default_at)
        if found is MISSING or not same_json(found, operation.value):
            raise StateTestFailedError(format_pointer(operation.path))

    def test_exists(self, operation: TestExists) -> None:
        if (self._seen(operation.path, _no_default) is not MISSING) != operation.exists:
            raise StateTestFailedError(format_pointer(operation.path))

    def set(self, operation: SetValue) -> None:
        if operation.path:
            self._put(operation.path, operation.value)
        elif type(operation.value) is dict:
            self._replace(operation.value)
        else:
            _conflict((), "the state must be an object")

    def merge(self, operation: Merge) -> None:
        path, fields = operation.path, operation.fields
        if type(fields) is not dict:
            _conflict(path, "only an object can be merged")
        if path and not fields:
            self._object(path)
            self.touched.add(path)
        for name, value in fields.items():
            self._put((*path, name), value)

    def increment(self, operation: Increment) -> None:
        path, by = operation.path, operation.by
        stored = self._current(path)
        if stored is MISSING:
            stored = 0
        if type(stored) is not int and type(stored) is not float:
            self._other_type(path, f"{_kind(stored)} can't be incremented", "number")
        total = stored + by
        if type(total) is int:
            if not MIN_INT <= total <= MAX_INT:
                _conflict(path, "the sum lies outside int64")
        elif not math.isfinite(total):
            _conflict(path, "the sum is not finite")
        self._put(path, total)

    def append(self, operation: Append) -> None:
        path = operation.path
        stored = self._current(path)
        if stored is MISSING:
            stored = []
        if type(stored) is not list:
            self._other_type(path, f"{_kind(stored)} can't be appended to", "list")
        for value in operation.values:
            _check_depth(value, MAX_DEPTH - len(path) - 1, path)
        if id(stored) in self._own:
            stored.extend(operation.values)
        else:
            parent = self._object(path[:-1])
            parent[path[-1]] = self._mine([*stored, *operation.values])
        self.touched.add(path)

    def remove(self, operation: Remove) -> None:
        path = operation.path
        if not path:
            raise PathInvalidError("", 'is the root: set "" to {} instead')
        if not self._remove(path) and operation.must_exist:
            raise StateTestFailedError(format_pointer(path))

    def put_record(self, operation: PutRecord) -> None:
        self._put((*operation.path, operation.key), operation.value)

    def delete_record(self, operation: DeleteRecord) -> None:
        path, key = operation.path, operation.key
        if not self._remove((*path, key)) and len(path) == 1:
            kept = self._rules.record_key(path[0], key)
            if kept != key:
                self._remove((*path, kept))

    def _replace(self, document: JsonObject) -> None:
        """Fields that the schema does not declare were written by other flows: they stay, and giving them back as they
        are is no write of them."""
        before, declares = self.root, self._rules.declares
        self.root = {name: value for name, value in before.items() if not declares(name)}
        self.touched.update([(name,) for name in before if declares(name)])
        for name, value in document.items():
            if name not in self.root or not same_json(self.root[name], value):
                self._put((name,), value)

    def _seen(self, path: Pointer, default_at: Callable[[Pointer], Json | Missing]) -> Json | Missing:
        """The value at ``path``, null too, or its default."""
        node: Json | Missing = self.root
        for depth, key in enumerate(path, 1):
            if node is None or node is MISSING:
                node = {}
            if type(node) is not dict:
                _conflict(path[: depth - 1], f"{_kind(node)} has no members")
            node = node.get(key, MISSING)
            if node is MISSING:
                node = default_at(path[:depth])
        return node

    def _current(self, path: Pointer) -> Json | Missing:
        """The value at ``path``; where something is missing, the schema's default takes its place."""
        node: Json | Missing = self.root
        for depth, key in enumerate(path, 1):
            if type(node) is not dict:
                self._no_members(path[: depth - 1], node)
            node = node.get(key, MISSING)
            if node is MISSING:
                node = self._rules.default_at(path[:depth])
            if node is None:
                node = MISSING
            if node is MISSING and depth < len(path):
                node = {}
        return node

    def _object(self, path: Pointer) -> JsonObject:
        """The object at ``path``, ours to change; it and those above it are made where missing."""
        node = self.root
        for depth, key in enumerate(path, 1):
            child = node.get(key, MISSING)
            if child is MISSING or child is None:
                self.touched.add(path[:depth])
                if child is MISSING:
                    check_key(key, format_pointer(path[: depth - 1]))
                    child = self._rules.default_at(path[:depth])
                if child is MISSING or child is None:
                    child = {}
            if type(child) is not dict:
                self._no_members(path[:depth], child)
            if id(child) not in self._own:
                child = node[key] = self._mine(dict(child))
            node = child
        return node

    def _put(self, path: Pointer, value: Json) -> None:
        _check_depth(value, MAX_DEPTH - len(path), path)
        parent, key = self._object(path[:-1]), path[-1]
        if key not in parent:
            check_key(key, format_pointer(path[:-1]))
        parent[key] = value
        self.touched.add(path)

    def _remove(self, path: Pointer) -> bool:
        """Whether there was something to remove. A member of a default that is not stored yet counts: what stays of the
        default is stored then."""
        parent = self._current(path[:-1])
        if parent is MISSING:
            return False
        if type(parent) is not dict:
            self._no_members(path[:-1], parent)
        if path[-1] not in parent:
            return False
        del self._object(path[:-1])[path[-1]]
        self.touched.add(path)
        return True

    def _no_members(self, path: Pointer, node: Json | Missing) -> NoReturn:
        self._other_type(path, f"{_kind(node)} has no members", "object")

    def _other_type(self, path: Pointer, problem: str, kind: str) -> NoReturn:
        declared = self._rules.declared_otherwise(path, kind) if path else ""
        if declared:
            _conflict(path, f"{problem}: it is declared {declared}")
        article = "an" if kind == "object" else "a"
        _conflict(path, f"{problem}: set it to {article} {kind} first{MEND}")

    def _mine(self, container: _Container) -> _Container:
        self._own[id(container)] = container
        return container


_APPLY: dict[type[Operation], Callable[[_Work, Any], None]] = {
    TestEqual: _Work.test_equal,
    TestExists: _Work.test_exists,
    SetValue: _Work.set,
    Merge: _Work.merge,
    Increment: _Work.increment,
    Append: _Work.append,
    Remove: _Work.remove,
    PutRecord: _Work.put_record,
    DeleteRecord: _Work.delete_record,
}

_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a double",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def _no_default(_: Pointer) -> Missing:
    return MISSING


def _kind(value: Json | Missing) -> str:
    return _KINDS[type(value)]


def _conflict(path: Pointer, problem: str) -> NoReturn:
    raise StateTypeConflictError(format_pointer(path), problem)


def _check_depth(value: Json, levels: int, path: Pointer) -> None:
    if levels < 0 or not _fits(value, levels):
        raise JsonLimitError(format_pointer(path), TOO_DEEP)


def _fits(value: Json, levels: int) -> bool:
    if type(value) is dict:
        members: Iterable[Json] = value.values()
    elif type(value) is list:
        members = value
    else:
        return True
    return levels > 0 and all(_fits(item, levels - 1) for item in members if type(item) in _CONTAINERS)


_CONTAINERS = (dict, list)


def _add_moved(one: Json, other: Json, path: Pointer, moved: set[Pointer]) -> None:
    """The places where two states differ, given that they share what is equal."""
    if one is other:
        return
    if type(one) is dict and type(other) is dict and one.keys() == other.keys():
        for key, value in one.items():
            _add_moved(value, other[key], (*path, key), moved)
    else:
        moved.add(path)
