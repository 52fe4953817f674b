"""What a change of state is told as: the places that changed, with their new values."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import field
from typing import NamedTuple

from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import Json, JsonObject, encode_json, same_json
from flowstate_server.state.json_pointer import Pointer, format_pointer
from flowstate_server.state.missing import MISSING, Missing

MAX_FIELD_BYTES = 16 * 1024
"""More JSON than this of one top-level field, and the change only names the field."""


@frozen
class Difference:
    """``changed`` maps JSON Pointers to new values, ``removed`` holds pointers, ``stale`` the names of top-level fields
    that changed by too much to be listed. No place is listed twice, nor below another one."""

    changed: dict[str, Json] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.changed or self.removed or self.stale)


class Place(NamedTuple):
    """A place where two states differ, and what lies there in the one before and in the one after."""

    pointer: Pointer
    old: Json | Missing
    new: Json | Missing


def difference_at(before: JsonObject, after: JsonObject, pointers: Set[Pointer]) -> Difference:
    """What differs between two states that are equal but at ``pointers``; see :func:`places_at`."""
    return difference_of(places_at(before, after, pointers))


def places_at(before: JsonObject, after: JsonObject, pointers: Set[Pointer]) -> list[Place]:
    """Where two states differ that are equal but at ``pointers``. Costs what lies there, not the states.

    Equality is JSON's, strictly: 1, 1.0, true, 0.0 and -0.0 are all different; the order of keys means nothing.
    """
    places = [
        Place(pointer, value_at(before, pointer), value_at(after, pointer)) for pointer in _topmost(pointers)
    ]
    return [place for place in places if not _same(place.old, place.new)]


def difference_of(places: Iterable[Place]) -> Difference:
    """What an event tells of ``places``."""
    by_field: dict[str, tuple[dict[str, Json], list[str]]] = {}
    for pointer, _, new in places:
        changed, removed = by_field.setdefault(pointer[0], ({}, []))
        if new is MISSING:
            removed.append(format_pointer(pointer))
        else:
            changed[format_pointer(pointer)] = new
    return _limited(by_field)


def _limited(by_field: dict[str, tuple[dict[str, Json], list[str]]]) -> Difference:
    all_changed: dict[str, Json] = {}
    all_removed: list[str] = []
    stale: list[str] = []
    for name, (changed, removed) in by_field.items():
        if sum([_size(value) for value in changed.values()]) > MAX_FIELD_BYTES:
            stale.append(name)
        else:
            all_changed.update(changed)
            all_removed += removed
    return Difference(all_changed, tuple(all_removed), tuple(stale))


def _topmost(pointers: Set[Pointer]) -> list[Pointer]:
    if len(pointers) == 1:
        return list(pointers)
    topmost: list[Pointer] = []
    for pointer in sorted(pointers):  # a pointer sorts right ahead of those below it
        if not topmost or pointer[: len(topmost[-1])] != topmost[-1]:
            topmost.append(pointer)
    return topmost


def value_at(state: JsonObject, pointer: Pointer) -> Json | Missing:
    """What lies at ``pointer``; ``MISSING`` where there is nothing."""
    node: Json | Missing = state
    for key in pointer:
        if type(node) is not dict:
            return MISSING
        node = node.get(key, MISSING)
    return node


def _same(old: Json | Missing, new: Json | Missing) -> bool:
    if old is new:
        return True
    if type(old) is not type(new) or old is MISSING or new is MISSING:
        return False
    if isinstance(old, list | dict) and len(old) != len(new):  # type: ignore[arg-type]
        return False
    return same_json(old, new)


def _size(value: Json) -> int:
    return len(encode_json(value))
