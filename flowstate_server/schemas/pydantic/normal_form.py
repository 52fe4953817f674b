"""The normal form of what is stored: a double where the schema has a float, whatever literal was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel, RootModel

from flowstate_server.model.json_values import Json


def normal_form(stored: Json, typed: object) -> Json:
    """``stored`` with each integer that validation made a float of as that float; ``stored`` itself if there is none.

    ``typed`` is what validation made of ``stored``. Nothing else is rewritten: where validators changed the structure,
    what was stored stays.
    """
    if type(stored) is int:
        return float(stored) if type(typed) is float and typed == float(stored) else stored
    if type(stored) is dict:
        return _normal_object(stored, typed)
    if type(stored) is list:
        return _normal_list(stored, typed)
    return stored


def _normal_object(stored: dict[str, Json], typed: object) -> Json:
    members = _members(stored, typed)
    changed = {}
    for key, value in stored.items():
        if key in members:
            normal = normal_form(value, members[key])
            if normal is not value:
                changed[key] = normal
    return {**stored, **changed} if changed else stored


def _members(stored: dict[str, Json], typed: object) -> Mapping[str, Any]:
    if isinstance(typed, RootModel):
        return _members(stored, typed.root)
    if isinstance(typed, BaseModel):
        return {**typed.__dict__, **(typed.__pydantic_extra__ or {})}
    if isinstance(typed, Mapping):
        if stored.keys() <= typed.keys():
            return typed
        # Keys that are enums, UUIDs or numbers: members keep their order.
        return dict(zip(stored, typed.values(), strict=True)) if len(stored) == len(typed) else {}
    if is_dataclass(typed):
        return dict(vars(typed)) if hasattr(typed, "__dict__") else {}
    return {}


def _normal_list(stored: list[Json], typed: object) -> Json:
    if isinstance(typed, RootModel):
        return _normal_list(stored, typed.root)
    if isinstance(typed, set | frozenset):
        elements: list[Any] = [float(item) if type(item) is int else item for item in stored]
        if not all(type(item) is float for item in typed):
            return stored
    elif isinstance(typed, str | bytes) or not hasattr(typed, "__len__") or not hasattr(typed, "__iter__"):
        return stored
    else:
        elements = list(typed)
    if len(elements) != len(stored):
        return stored
    result = [normal_form(value, element) for value, element in zip(stored, elements, strict=True)]
    same = all(one is other for one, other in zip(result, stored, strict=True))
    return stored if same else result
