"""The operations on state, the same on a scope and in a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar as PlainTypeVar

from typing_extensions import TypeVar

from flowstate.v1 import state_service_pb2, types_pb2
from flowstate_client.codec import Codec
from flowstate_client.field_types import FieldTypes, NotOfType
from flowstate_client.json_profile import check_finite, check_int64, check_text, escape_pointer, to_json_value
from flowstate_client.proof import proven_text

R_co = PlainTypeVar("R_co", covariant=True)
StateT_co = TypeVar("StateT_co", default=Any, covariant=True)

StateOp = state_service_pb2.StateOp


class StateVerbs(ABC, Generic[R_co, StateT_co]):
    """Declarative operations: applied to the newest stored state, so that no update is lost and nothing conflicts.

    All raise ``ValueError`` at once for what is not JSON in FlowState's profile, and for models of which their
    serializers write something else (asterisks) than they read. ``StateT_co`` is the model by whose types fields are
    written, and that type checkers look them up in. Without one values are written as what they are by themselves, and
    bytes, which some fields have as text and others in base64, are refused.
    """

    _codec: Codec
    _types: FieldTypes | None = None

    @abstractmethod
    def _submit(self, ops: Iterable[StateOp]) -> R_co:
        """Send the operations, or keep them for later."""

    def set_state(self, state: Any, /) -> R_co:
        """Replace the whole state by a model or a mapping."""
        if isinstance(state, Mapping):
            state = self._by_type(state)
        return self._submit([StateOp(path="", set=self._value(state))])

    def patch_state(self, fields: Mapping[str, Any] | None = None, /, **more: Any) -> R_co:
        """Set the given top-level fields, leave the others. ``None`` is a value; see ``unset_state``."""
        merged = self._by_type({**(fields or {}), **more})
        return self._submit([StateOp(path="", merge=state_service_pb2.MergeOp(value=self._value(merged)))])

    def inc_state(self, deltas: Mapping[str, float] | None = None, /, **more: float) -> R_co:
        """Add to numeric fields; a missing one starts at its schema default, else 0.

        An integer plus an integer is an integer, a float on either side gives a float.
        """
        merged = {**(deltas or {}), **more}
        return self._submit([StateOp(path=pointer(f), increment=increment(d, f)) for f, d in merged.items()])

    def push_state(self, field: str, /, *values: Any) -> R_co:
        """Append to a list; a missing one starts at its schema default, else empty."""
        at = pointer(field)
        typed = [self._typed(at, value, FieldTypes.element, field) for value in values]
        append = state_service_pb2.AppendOp(items=[self._value(item, at) for item in typed])
        return self._submit([StateOp(path=at, append=append)])

    def set_state_record(self, field: str, key: Hashable, value: Any, /) -> R_co:
        """``state[field][key] = value``, leaving the neighbours alone; a missing map is created."""
        at = pointer(field)
        key, value = self._typed(at, (key, value), FieldTypes.record, field)
        put = state_service_pb2.PutRecordOp(key=record_key(key, at), value=self._value(value, at))
        return self._submit([StateOp(path=at, put_record=put)])

    def delete_state_record(self, field: str, key: Hashable, /) -> R_co:
        """Remove ``state[field][key]`` if it is there."""
        at = pointer(field)
        key = self._typed(at, key, FieldTypes.key, field)
        delete = state_service_pb2.DeleteRecordOp(key=record_key(key, at))
        return self._submit([StateOp(path=at, delete_record=delete)])

    def unset_state(self, *fields: str) -> R_co:
        """Remove top-level fields; their defaults show again."""
        return self._submit([StateOp(path=pointer(f), remove=state_service_pb2.RemoveOp()) for f in fields])

    def _by_type(self, fields: Mapping[Any, Any]) -> Mapping[Any, Any]:
        return {
            name: self._typed(f"/{name}", value, FieldTypes.value, name) for name, value in fields.items()
        }

    def _typed(
        self, place: str, value: Any, convert: Callable[[FieldTypes, str, Any], Any], field: str
    ) -> Any:
        """What ``convert`` makes of ``value`` by the type of the field, ``value`` where that has none."""
        if self._types is None:
            return value
        try:
            return convert(self._types, field, value)
        except NotOfType:
            return value
        except ValueError as refusal:
            raise ValueError(f"{place}: {refusal}") from None

    def _value(self, value: Any, place: str = "") -> types_pb2.Value:
        try:
            text = proven_text(value, self._codec)
        except ValueError as refusal:
            raise ValueError(_at(place, str(refusal))) from None
        return types_pb2.Value(json=text)


def _at(place: str, problem: str) -> str:
    """``problem``, which begins with a place in a value, with the place of the value."""
    if not place or problem.startswith("/"):
        return place + problem
    return f"{place}: {problem.removeprefix('the value: ')}"


def pointer(field: str) -> str:
    """The JSON Pointer of a top-level field."""
    return "/" + escape_pointer(check_text(field, "a field name"))


def record_key(key: Hashable, place: str) -> str:
    """``key`` as JSON has it: numbers, UUIDs, dates and enums are text.

    Raises:
        ValueError: it is empty, over 256 bytes, or nothing that can be a key; naming ``place``.
    """
    try:
        (text,) = to_json_value({key: None})
    except ValueError as refusal:
        raise ValueError(_at(place, str(refusal))) from None
    if not text:
        raise ValueError(f"{place}: a record key must not be empty")
    return str(text)


def increment(delta: float, field: str) -> state_service_pb2.IncrementOp:
    """The increment by an integer or a float.

    Raises:
        ValueError: it is neither, not finite, or beyond int64.
    """
    place = pointer(field)
    if isinstance(delta, bool) or not isinstance(delta, (int, float)):
        raise ValueError(f"{place}: an increment must be an int or a float, not {type(delta).__name__}")
    if isinstance(delta, int):
        return state_service_pb2.IncrementOp(by_int=check_int64(delta, place))
    return state_service_pb2.IncrementOp(by_double=check_finite(delta, place))
