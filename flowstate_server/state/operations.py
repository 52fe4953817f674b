"""The closed set of declarative operations on a state, and their constructors under the names that blocks use.

Operations are values: they say what is to be done to whatever state is the newest when they are applied, and hold
clean JSON. What each does is defined by :func:`flowstate_server.state.apply.apply`. The constructors take Python values
and make JSON of them by the ``to_json`` that they are given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import cast

from flowstate_server.errors import JsonInvalidError, PathInvalidError
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.state.json_limits import is_text
from flowstate_server.state.json_pointer import Pointer, format_pointer
from flowstate_server.state.plain_json import ToJson, plain_json


@frozen
class SetValue:
    """Put ``value`` at ``path``. At the root it replaces the state, but for fields that the schema does not declare."""

    path: Pointer
    value: Json


@frozen
class Merge:
    """Set each of ``fields`` in the object at ``path``; ``None`` is a value like any other."""

    path: Pointer
    fields: JsonObject


@frozen
class Increment:
    """Add ``by`` to the number at ``path``: two integers make an integer, a double on either side a double."""

    path: Pointer
    by: int | float


@frozen
class Append:
    """Append ``values`` to the list at ``path``."""

    path: Pointer
    values: tuple[Json, ...]


@frozen
class Remove:
    """Remove the member at ``path``. If there is none: no change, or ``StateTestFailedError`` if it ``must_exist``."""

    path: Pointer
    must_exist: bool = False


@frozen
class PutRecord:
    """Put ``value`` under ``key`` in the map at ``path``."""

    path: Pointer
    key: str
    value: Json


@frozen
class DeleteRecord:
    """Remove ``key`` from the map at ``path``, or what it is there in normal form; no change if there is no such key or
    no map."""

    path: Pointer
    key: str


@frozen
class TestEqual:
    """Refuse with ``StateTestFailedError`` unless the value at ``path`` is ``value``, as JSON: 1 and 1.0 differ. A
    field that was never written is its default here, as it reads."""

    __test__ = False  # what pytest would take for tests
    path: Pointer
    value: Json


@frozen
class TestExists:
    """Refuse with ``StateTestFailedError`` unless something is stored at ``path``, be it null, or unless nothing is."""

    __test__ = False
    path: Pointer
    exists: bool


TESTS = (TestEqual, TestExists)
"""Operations that look and don't touch."""

Operation = TestEqual | TestExists | SetValue | Merge | Increment | Append | Remove | PutRecord | DeleteRecord


def set_state(state: object, to_json: ToJson = plain_json) -> tuple[Operation, ...]:
    """Replace the whole state by ``state``, an object of fields.

    This and the constructors below raise the errors of ``to_json`` for what is not JSON, and ``PathInvalidError`` for a
    field name that is no text.
    """
    return (SetValue((), _fields(state, "", to_json)),)


def patch_state(fields: object, to_json: ToJson = plain_json) -> tuple[Operation, ...]:
    """Set the named top-level fields and leave the others alone."""
    return (Merge((), _fields(fields, "", to_json)),)


def inc_state(deltas: Mapping[str, int | float]) -> tuple[Operation, ...]:
    """Add to numeric top-level fields."""
    for name, by in deltas.items():
        if isinstance(by, bool) or not isinstance(by, int | float):
            problem = f"an increment must be an int or a float, not {type(by).__qualname__}"
            if isinstance(cast(object, by), Decimal):
                problem += ": Decimals are stored as text, add them in atomic_state"
            raise JsonInvalidError(format_pointer((str(name),)), problem)
    deltas_json = cast(dict[str, int | float], _fields(deltas, "", plain_json))
    return tuple(Increment((name,), by) for name, by in deltas_json.items())


def push_state(field: str, values: Iterable[object], to_json: ToJson = plain_json) -> tuple[Operation, ...]:
    """Append to a top-level field that is a list."""
    pointer = _pointer(field)
    path = format_pointer(pointer)
    return (Append(pointer, tuple([to_json(value, path) for value in values])),)


def set_state_record(
    field: str, key: object, value: object, to_json: ToJson = plain_json
) -> tuple[Operation, ...]:
    """Put one record into a top-level field that is a map."""
    pointer = _pointer(field)
    path = format_pointer(pointer)
    ((name, record),) = _fields({_not_empty(key, path): value}, path, to_json).items()
    return (PutRecord(pointer, name, record),)


def delete_state_record(field: str, key: object, to_json: ToJson = plain_json) -> tuple[Operation, ...]:
    """Remove one record from a top-level field that is a map."""
    pointer = _pointer(field)
    path = format_pointer(pointer)
    ((name, _),) = _fields({_not_empty(key, path): None}, path, to_json).items()
    return (DeleteRecord(pointer, name),)


def unset_state(fields: Iterable[str]) -> tuple[Operation, ...]:
    """Remove top-level fields; a default shows again."""
    names = (fields,) if isinstance(fields, str) else fields
    return tuple(Remove(_pointer(name)) for name in names)


def _not_empty(key: object, path: str) -> object:
    if isinstance(key, str) and not key:
        raise JsonInvalidError(path, "a record key must not be empty")
    return key


def _fields(value: object, path: str, to_json: ToJson) -> JsonObject:
    fields = to_json(value, path)
    if not isinstance(fields, dict):
        raise JsonInvalidError(path, f"must be an object of fields, not {type(value).__qualname__}")
    return fields


def _pointer(field: str) -> Pointer:
    if not isinstance(field, str):
        raise PathInvalidError("given", f"must be a field name, not {type(field).__qualname__}")
    if not is_text(field):
        raise PathInvalidError("given", "holds a lone surrogate")
    return (field,)


def touched_records(operations: Sequence[Operation]) -> dict[str, set[str]] | None:
    """The keys of all records of maps that ``operations`` read or write, by the names of the maps; ``None`` if they
    look at anything else."""
    touched: dict[str, set[str]] = {}
    for operation in operations:
        path = operation.path
        if len(path) > 1:
            keys: Iterable[str] = path[1:2]
        elif path and isinstance(operation, PutRecord | DeleteRecord):
            keys = (operation.key,)
        elif path and isinstance(operation, Merge) and operation.fields:
            keys = operation.fields
        else:
            return None
        touched.setdefault(path[0], set()).update(keys)
    return touched
