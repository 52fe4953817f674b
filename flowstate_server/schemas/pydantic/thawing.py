"""Ordinary values of what views hand out, which share nothing with it."""

from __future__ import annotations

import copy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel

T = TypeVar("T")
_set = object.__setattr__

SCALARS = frozenset(
    (type(None), bool, int, float, str, bytes, date, datetime, time, timedelta, Decimal, UUID)
)


class ReadOnly:
    """What the read-only values of this package have in common."""

    __slots__ = ()

    def flowstate_thawed(self) -> Any:
        """An ordinary value that is equal, and shares nothing with this one."""
        raise NotImplementedError

    def __deepcopy__(self, memo: object = None) -> Any:
        return self.flowstate_thawed()

    def __reduce_ex__(self, protocol: object) -> Any:
        return _same, (self.flowstate_thawed(),)


def thawed(value: T) -> T:
    """A deep copy of ordinary values."""
    return cast(T, _thawed(value))


def _thawed(value: Any) -> Any:
    kind = type(value)
    if kind in SCALARS:
        return value
    if isinstance(value, ReadOnly):
        return value.flowstate_thawed()
    if kind is list or kind is tuple:
        return kind(map(_thawed, value))
    if kind is dict:
        return {key: _thawed(item) for key, item in value.items()}
    if isinstance(value, BaseModel):
        return thawed_members(copied(value, kind, kind))
    return copy.deepcopy(value)


def thawed_members(made: BaseModel) -> BaseModel:
    for values in (made.__dict__, made.__pydantic_extra__ or {}):
        for name, inside in values.items():
            if type(inside) not in SCALARS:
                values[name] = _thawed(inside)
    return made


def _same(value: T) -> T:
    return value


def copied(value: Any, model: Any, kind: Any) -> Any:
    """A shallow copy of ``value``, as ``model`` makes them, as an instance of ``kind``."""
    if model.__copy__ is not BaseModel.__copy__:
        made = model.__copy__(value)
        _set(made, "__class__", kind)
        return made
    made = kind.__new__(kind)  # what pydantic does takes three times as long
    _set(made, "__dict__", value.__dict__.copy())
    _set(made, "__pydantic_fields_set__", value.__pydantic_fields_set__.copy())
    extra, private = value.__pydantic_extra__, value.__pydantic_private__
    _set(made, "__pydantic_extra__", extra and extra.copy())
    _set(made, "__pydantic_private__", private and private.copy())
    return made
