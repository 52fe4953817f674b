"""The operations on state, the same on a scope and in a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Generic, TypeVar as PlainTypeVar

from typing_extensions import TypeVar

from flowstate.v1 import state_service_pb2, types_pb2
from flowstate_client.codec import Codec
from flowstate_client.json_profile import check_finite, check_int64, check_text, escape_pointer, to_json_value
from flowstate_client.proof import proven_text

R_co = PlainTypeVar("R_co", covariant=True)
StateT_co = TypeVar("StateT_co", default=Any, covariant=True)

StateOp = state_service_pb2.StateOp


class StateVerbs(ABC, Generic[R_co, StateT_co]):
    """Declarative operations: applied to the newest stored state, so that no update is lost and nothing conflicts.

    All raise ``ValueError`` at once for what is not JSON in FlowState's profile, and for models of which their
    serializers write something else (asterisks) than they read. ``StateT_co`` is the model that type
    checkers look fields up in.
    """

    _codec: Codec

    @abstractmethod
    def _submit(self, ops: Iterable[StateOp]) -> R_co:
        """Send the operations, or keep them for later."""

    def set_state(self, state: Any, /) -> R_co:
        """Replace the whole state by a model or a mapping."""
        return self._submit([StateOp(path="", set=self._value(state))])

    def patch_state(self, fields: Mapping[str, Any] | None = None, /, **more: Any) -> R_co:
        """Set the given top-level fields, leave the others. ``None`` is a value; see ``unset_state``."""
        merged = {**(fields or {}), **more}
        return self._submit([StateOp(path="", merge=state_service_pb2.MergeOp(value=self._value(merged)))])

    def inc_state(self, deltas: Mapping[str, float] | None = None, /, **more: float) -> R_co:
        """Add to numeric fields; a missing one starts at its schema default, else 0.

        An integer plus an integer is an integer, a float on either side gives a float.
        """
        merged = {**(deltas or {}), **more}
        return self._submit([StateOp(path=pointer(f), increment=increment(d, f)) for f, d in merged.items()])

    def push_state(self, field: str, /, *values: Any) -> R_co:
        """Append to a list; a missing one starts at its schema default, else empty."""
        items = [self._value(value, pointer(field)) for value in values]
        return self._submit([StateOp(path=pointer(field), append=state_service_pb2.AppendOp(items=items))])

    def set_state_record(self, field: str, key: Hashable, value: Any, /) -> R_co:
        """``state[field][key] = value``, leaving the neighbours alone; a missing map is created."""
        put = state_service_pb2.PutRecordOp(key=record_key(key), value=self._value(value, pointer(field)))
        return self._submit([StateOp(path=pointer(field), put_record=put)])

    def delete_state_record(self, field: str, key: Hashable, /) -> R_co:
        """Remove ``state[field][key]`` if it is there."""
        delete = state_service_pb2.DeleteRecordOp(key=record_key(key))
        return self._submit([StateOp(path=pointer(field), delete_record=delete)])

    def unset_state(self, *fields: str) -> R_co:
        """Remove top-level fields; their defaults show again."""
        return self._submit([StateOp(path=pointer(f), remove=state_service_pb2.RemoveOp()) for f in fields])

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


def record_key(key: Hashable) -> str:
    """``key`` as JSON has it: numbers, UUIDs, dates and enums are text.

    Raises:
        ValueError: it is empty, over 256 bytes, or nothing that can be a key.
    """
    try:
        (text,) = to_json_value({key: None})
    except ValueError:
        text = ""
    if not text:
        raise ValueError("a record key must be text of 1 to 256 bytes")
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
