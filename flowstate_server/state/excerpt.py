"""Parts of a state, in its own shape."""

from __future__ import annotations

from collections.abc import Iterable

from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.state.json_pointer import Pointer


def excerpt(state: JsonObject, pointers: Iterable[Pointer]) -> JsonObject:
    """``state`` reduced to what lies at ``pointers``; what is absent is left out, ``state`` stays as it is."""
    tree: dict[str, object] = {}
    for pointer in pointers:
        if not pointer:
            return state
        node = tree
        for key in pointer[:-1]:
            inner = node.setdefault(key, {})
            if not isinstance(inner, dict):
                break  # all of it is wanted anyway
            node = inner
        else:
            node[pointer[-1]] = None
    return _reduced(state, tree)


def _reduced(value: JsonObject, tree: dict[str, object]) -> JsonObject:
    reduced: JsonObject = {}
    for key, inside in tree.items():
        if key not in value:
            continue
        member: Json = value[key]
        if not isinstance(inside, dict):
            reduced[key] = member
        elif type(member) is dict and (part := _reduced(member, inside)):
            reduced[key] = part
    return reduced
