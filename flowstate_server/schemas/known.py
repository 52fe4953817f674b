"""What of a stored value today's schema knows: nested members that it does not have are left out when it is shown.

Writes store none of them; they are left over where a later deploy took a field away from a nested model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import cast

from flowstate_server.model.json_values import Json
from flowstate_server.schemas.shape import LISTS, MAPS, OBJECTS, Shape
from flowstate_server.state.json_pointer import Pointer
from flowstate_server.state.missing import MISSING, Missing

_Open = tuple[Shape, ...]
_Candidates = Sequence[tuple[Shape, _Open]]
"""Shapes that a value may have, of which any knows a member; each with those around it that may recur in it."""


def has_objects(shape: Shape) -> bool:
    """Whether there is anything in values of ``shape`` that could be unknown."""
    if shape["type"] in OBJECTS or shape["type"] == "recursive":
        return True
    inner = [shape[key] for key in ("of", "keys") if key in shape]
    inner += [*shape.get("choices", ()), *shape.get("fields", {}).values()]
    return any(map(has_objects, inner))


def knower(shape: Shape) -> Callable[[Json], bool]:
    """A quick check whether a value of ``shape`` is :func:`known` as it is. Where it says no, that has to tell."""
    kind = shape["type"]
    if not has_objects(shape):
        return _anything
    if kind in ("nullable", "default", "custom-error"):
        return knower(shape["of"])
    if kind in OBJECTS and "fields" in shape and shape.get("extra") != "allow":
        members = [(name, knower(member)) for name, member in shape["fields"].items()]
        inner = [(name, knows) for name, knows in members if knows is not _anything]
        names = frozenset(shape["fields"])
        return partial(_knows_object, names, inner) if inner else partial(_knows_names, names)
    if kind in MAPS and "of" in shape:
        return partial(_knows_values, knower(shape["of"]))
    if kind in LISTS and kind != "tuple" and "of" in shape:
        return partial(_knows_items, knower(shape["of"]))
    return _not_sure


def _anything(value: Json) -> bool:
    return True


def _not_sure(value: Json) -> bool:
    return type(value) not in (list, dict)


def _knows_names(names: frozenset[str], value: Json) -> bool:
    return names.issuperset(value) if type(value) is dict else type(value) is not list


def _knows_object(
    names: frozenset[str], inner: Sequence[tuple[str, Callable[[Json], bool]]], value: Json
) -> bool:
    if type(value) is not dict:
        return type(value) is not list
    return names.issuperset(value) and all(knows(value[name]) for name, knows in inner if name in value)


def _knows_values(knows: Callable[[Json], bool], value: Json) -> bool:
    return all(map(knows, value.values())) if type(value) is dict else type(value) is not list


def _knows_items(knows: Callable[[Json], bool], value: Json) -> bool:
    return all(map(knows, value)) if type(value) is list else type(value) is not dict


def known(shape: Shape, value: Json, pointer: Pointer = ()) -> Json | Missing:
    """``value``, which is stored at ``pointer`` of a field of ``shape``, without what the shape has not; itself if it
    has all of it, ``MISSING`` if the place is none."""
    candidates = list(_flat(shape, ()))
    for step in pointer:
        if not _tells(candidates):
            return value
        candidates = _member(candidates, step)
        if not candidates:
            return MISSING
    return _known(value, candidates)


def makes_members(shape: Shape) -> bool:
    """Whether there is a member in values of ``shape`` that is made anew each time where it is absent."""
    if shape.get("made") is True:
        return True
    inner = [shape[key] for key in ("of", "keys") if key in shape]
    inner += [*shape.get("choices", ()), *shape.get("fields", {}).values()]
    return any(map(makes_members, inner))


def lacks_made(shape: Shape, value: Json) -> bool:
    """Whether ``value``, stored in a field of ``shape``, lacks a member that is made anew at each reading then."""
    return _lacks_made(value, list(_flat(shape, ())))


def _lacks_made(value: Json, candidates: _Candidates) -> bool:
    if type(value) is list:
        return any(_lacks_made(item, _element(candidates, place)) for place, item in enumerate(value))
    if type(value) is not dict:
        return False
    if not value.keys() >= _made_in(value, candidates):
        return True
    return any(_lacks_made(item, _member(candidates, key)) for key, item in value.items())


def _made_in(value: dict[str, Json], candidates: _Candidates) -> set[str]:
    """The members that are made anew where an object lacks them, of the shapes that may be meant by ``value``."""
    made: set[str] = set()
    for shape, _ in candidates:
        fields = shape.get("fields", {})
        required = {name for name, member in fields.items() if member.get("required")}
        if required <= value.keys() and (len(candidates) == 1 or value.keys() <= fields.keys()):
            made.update(name for name, member in fields.items() if member.get("made") is True)
    return made


def without_made(shape: Shape, stored: Json, read: Json) -> Json:
    """``read``, which is what is read of ``stored`` in a field of ``shape``, without the members that are made anew
    where they are absent and that ``stored`` has not in the same place."""
    return _without_made(stored, read, list(_flat(shape, ())))


def _without_made(stored: Json | Missing, read: Json, candidates: _Candidates) -> Json:
    if type(read) is list:
        olds = stored if type(stored) is list else []
        return [
            _without_made(olds[place] if place < len(olds) else MISSING, item, _element(candidates, place))
            for place, item in enumerate(read)
        ]
    if type(read) is not dict:
        return read
    old = stored if type(stored) is dict else {}
    anew = _made_in(read, candidates) - old.keys()
    return {
        key: _without_made(old.get(key, MISSING), item, _member(candidates, key))
        for key, item in read.items()
        if key not in anew
    }


def _known(value: Json, candidates: _Candidates) -> Json:
    if type(value) is dict:
        if not _tells(candidates):
            return value
        members = {
            key: _known(item, inner) for key, item in value.items() if (inner := _member(candidates, key))
        }
        same = len(members) == len(value) and all(item is value[key] for key, item in members.items())
        return value if same else members
    if type(value) is list:
        items = [_known(item, _element(candidates, place)) for place, item in enumerate(value)]
        return value if all(item is other for item, other in zip(items, value, strict=True)) else items
    return value


def _flat(shape: Shape, around: _Open) -> Iterator[tuple[Shape, _Open]]:
    """The shapes of values, past what only chooses among them."""
    if shape["type"] == "recursive":
        place = len(around) - shape["levels"]
        yield from _flat(around[place], around[:place])
        return
    if shape.get("anchor"):
        around = (*around, shape)
    if shape["type"] in ("nullable", "default", "custom-error"):
        yield from _flat(shape["of"], around)
    elif shape["type"] in ("union", "tagged-union", "chain"):
        for choice in shape["choices"]:
            yield from _flat(choice, around)
    else:
        yield shape, around


def _tells(candidates: _Candidates) -> bool:
    """Whether the shapes tell which members an object has. What functions make of anything tells nothing."""
    return any("fields" in shape or shape["type"] in MAPS for shape, _ in candidates) and not any(
        shape["type"] == "any" or shape.get("extra") == "allow" for shape, _ in candidates
    )


def _member(candidates: _Candidates, key: str) -> list[tuple[Shape, _Open]]:
    found: list[tuple[Shape, _Open]] = []
    for shape, around in candidates:
        if shape["type"] in MAPS:
            found += _flat(cast(Shape, shape["of"]), around) if "of" in shape else [({"type": "any"}, around)]
        elif shape["type"] in OBJECTS and key in shape.get("fields", {}):
            found += _flat(shape["fields"][key], around)
    return found


def _element(candidates: _Candidates, place: int) -> list[tuple[Shape, _Open]]:
    found: list[tuple[Shape, _Open]] = []
    for shape, around in candidates:
        if shape["type"] == "tuple":
            for choice in shape["choices"]:
                found += _flat(choice, around)
        elif shape["type"] == "named-tuple":
            found += (
                _flat(list(shape["fields"].values())[place], around) if place < len(shape["fields"]) else []
            )
        elif shape["type"] in LISTS and "of" in shape:
            found += _flat(shape["of"], around)
    return found or [({"type": "any"}, ())]
