"""What a change does to a large state, as it is stored: the places that changed."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.model.json_values import Json, JsonObject, decode_json, encode_json
from flowstate_server.model.state_parts import PATCHED_SHARE, StatePatch
from flowstate_server.state.difference import Place, value_at
from flowstate_server.state.json_pointer import Pointer
from flowstate_server.state.missing import MISSING, Missing


def patch_of(before: JsonObject, after: JsonObject, size: int, places: Sequence[Place]) -> StatePatch | None:
    """The patch that makes ``after`` of ``before``, whose text has ``size`` bytes and which differ in ``places``;
    ``None`` if the whole text is hardly longer. Costs what lies at the places."""
    steps = [
        [place.pointer] if place.new is MISSING else [place.pointer, place.new]
        for place in _new_last(after, places)
    ]
    text = encode_json(steps)  # type: ignore[arg-type]  # tuples are arrays, too
    size += _growth(before, after, places)
    return None if len(text) * PATCHED_SHARE > size else StatePatch(text, size)


def detach(after: JsonObject, places: Sequence[Place]) -> None:
    """Put copies in the ``places`` of ``after``, which was made of the state before: what holds them is of no other
    state, but they may be in the hands of whoever brought them."""
    for place in places:
        if isinstance(place.new, dict | list):
            _object_at(after, place.pointer[:-1])[place.pointer[-1]] = decode_json(encode_json(place.new))


def _new_last(after: JsonObject, places: Sequence[Place]) -> Sequence[Place]:
    """``places`` so that new keys stand in the order in which ``after`` has them: at the end, for who adds them."""
    new = {place.pointer: place for place in places if place.old is MISSING}
    if len(new) < 2:
        return places
    ordered: list[Place] = []
    for above in dict.fromkeys([pointer[:-1] for pointer in new]):
        keys = {pointer[-1] for pointer in new if pointer[:-1] == above}
        found: list[Place] = []
        for key in reversed(_object_at(after, above)):
            if key in keys:
                found.append(new[(*above, key)])
                if len(found) == len(keys):
                    break
        ordered += reversed(found)
    return [*(place for place in places if place.old is not MISSING), *ordered]


def _growth(before: JsonObject, after: JsonObject, places: Sequence[Place]) -> int:
    """By how many bytes the text of ``after`` is longer."""
    growth = 0
    for place in places:
        name = place.pointer[-1]
        growth += _member(name, place.new) - _member(name, place.old)
    for above in {place.pointer[:-1] for place in places if MISSING in (place.old, place.new)}:
        growth += _commas(_object_at(after, above)) - _commas(_object_at(before, above))
    return growth


def _member(name: str, value: Json | Missing) -> int:
    return 0 if value is MISSING else len(encode_json(name)) + len(":") + len(encode_json(value))


def _commas(members: JsonObject) -> int:
    return max(0, len(members) - 1)


def _object_at(state: JsonObject, pointer: Pointer) -> JsonObject:
    found = value_at(state, pointer)
    if type(found) is not dict:
        raise LookupError("what has changed is in no object")
    return found
