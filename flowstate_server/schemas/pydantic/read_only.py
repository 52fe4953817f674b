"""What views hand out for lists, maps, sets, nested models and dataclasses: equal to the value and of its type, but
read-only.

A list or dict is wrapped when its field is read, what is in it when that is read. So reading one message of a thousand
wraps two objects, and scalars cost nothing. Copies (``list(x)``, ``x.copy()``, ``copy.deepcopy(x)``, ``model_copy``)
are ordinary values; of shallow ones the members are read-only still.
"""

from __future__ import annotations

import dataclasses
from abc import ABCMeta
from collections.abc import Callable
from enum import Enum
from typing import Any, cast

from pydantic import BaseModel

from flowstate_server.schemas.pydantic.absent_attribute import TellsAbsent
from flowstate_server.schemas.pydantic.read_only_containers import (
    Attempt,
    ReadOnlyDict,
    ReadOnlyList,
    ReadOnlySet,
    UnreadDict,
    UnreadList,
    rarer,
)
from flowstate_server.schemas.pydantic.thawing import SCALARS, ReadOnly, copied, thawed, thawed_members

__all__ = [
    "SCALARS",
    "Advice",
    "Attempt",
    "Guard",
    "ReadOnlyModel",
    "advice_in_block",
    "advice_in_change",
    "thawed",
]

_set = object.__setattr__

Advice = Callable[[str, Attempt], str]
"""What to do instead, given the field and what was tried on its value."""


def advice_in_block(writer: str) -> Advice:
    def advice(field: str, attempt: Attempt) -> str:
        append = f"append to it with {writer}.push_state({field!r}, ...)"
        put = f"{writer}.set_state_record({field!r}, key, value)"
        patch = f"write it with {writer}.patch_state({field}=...)"
        instead = {
            Attempt.APPEND: append,
            Attempt.PUT: f"write it with {put}",
            Attempt.DELETE: f"remove it with {writer}.delete_state_record({field!r}, key)",
            Attempt.CHANGE: patch,
            Attempt.ASSIGN_NUMBER: f"add to it with {writer}.inc_state({field}=...), or {patch}",
            Attempt.ASSIGN_LIST: f"{append}, or {patch}",
            Attempt.ASSIGN_MAP: f"write an entry with {put}, or {patch}",
            Attempt.UNSET: f"remove it with {writer}.unset_state({field!r})",
        }[attempt]
        return f"a view of state is read-only, here {field!r}: {instead}"

    return advice


def advice_in_change(writer: str) -> Advice:
    def advice(field: str, attempt: Attempt) -> str:
        return (
            f"the state given to the function of {writer}.atomic_state is read-only, here {field!r}: "
            f"return what changes, as {{{field!r}: ...}} or as state.model_copy(update={{{field!r}: ...}})"
        )

    return advice


class Guard:
    """Makes the value of one field of one kind of view read-only."""

    def __init__(self, field: str, advice: Advice) -> None:
        self._field = field
        self._advice = advice
        self._inner: Guard | None = None
        self._models: dict[type[BaseModel], type[ReadOnlyModel]] = {}
        self._dataclasses: dict[type, Any] = {}

    def protect(self, value: Any) -> Any:
        """``value`` itself if it is a scalar, read-only already, or of a type that can't be changed in place."""
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is list:
            made = (ReadOnlyList if SCALARS.issuperset(map(type, value)) else UnreadList)(value)
            made._guard = self
            return made
        if kind is dict:
            held = (ReadOnlyDict if SCALARS.issuperset(map(type, value.values())) else UnreadDict)(value)
            held._guard = self
            return held
        if kind is set:
            distinct = ReadOnlySet(value)
            distinct._guard = self
            return distinct
        if kind is tuple:
            return tuple(map(self.inner.protect, value))
        if isinstance(value, BaseModel):
            return self._protect_model(value)
        return value if isinstance(value, ReadOnly | Enum) else self._protect_rarer(value)

    def _protect_rarer(self, value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return self._protect_dataclass(value)
        if isinstance(value, tuple) and hasattr(value, "_make"):
            return value._make(map(self.inner.protect, value))
        made = rarer(value, self)
        return value if made is None else made

    @property
    def inner(self) -> Guard:
        """For what is in the value: the operations on lists and maps are not for that."""
        if self._inner is None:
            self._inner = Guard(self._field, lambda field, _: self._deep(field))
            self._inner._inner = self._inner
        return self._inner

    def refusal(self, attempt: Attempt) -> str:
        return self._advice(self._field, attempt)

    def _deep(self, field: str) -> str:
        return f"{self._advice(field, Attempt.CHANGE)}, with a changed copy (copy.deepcopy, model_copy)"

    def _protect_model(self, value: BaseModel) -> Any:
        if isinstance(value, ReadOnlyModel):
            return value
        model = type(value)
        protected = self._models.get(model)
        if protected is None:
            protected = self._models[model] = _read_only_class(model, self)
        made = copied(
            value, model, protected
        )  # a validator or a default_factory may have given what it keeps
        for values in (made.__dict__, made.__pydantic_extra__ or {}):
            for name, inside in values.items():
                if type(inside) not in SCALARS:
                    values[name] = self.inner.protect(inside)
        return made

    def _protect_dataclass(self, value: Any) -> Any:
        kind = type(value)
        protected = self._dataclasses.get(kind)
        if protected is None:
            protected = self._dataclasses[kind] = _read_only_dataclass(kind, self)
        made = object.__new__(protected)
        for name, inside in _held(value):
            _set(made, name, self.inner.protect(inside))
        return made


class ReadOnlyModel(TellsAbsent, ReadOnly):
    """Ahead of the model in the classes that :class:`Guard` makes."""

    __slots__ = ()
    _flowstate_guard: Guard

    def __init_subclass__(cls, **_: object) -> None:
        """Keeps the author's hook from seeing classes that the author did not write."""

    def __setattr__(self, name: str, value: object) -> None:
        __tracebackhide__ = True
        if name.startswith("_"):  # private attributes are no state
            return super().__setattr__(name, value)
        raise AttributeError(self._flowstate_guard.inner.refusal(Attempt.CHANGE))

    def __delattr__(self, name: str) -> None:
        __tracebackhide__ = True
        raise AttributeError(self._flowstate_guard.inner.refusal(Attempt.CHANGE))

    def flowstate_thawed(self) -> Any:
        return thawed_members(_as_model(self))

    def __flowstate_json__(self) -> object:
        return thawed(self)

    def model_dump(self, **options: Any) -> Any:
        return cast(BaseModel, thawed(self)).model_dump(**options)

    def model_dump_json(self, **options: Any) -> Any:
        return cast(BaseModel, thawed(self)).model_dump_json(**options)

    def model_copy(self, **options: Any) -> Any:
        return cast(BaseModel, thawed(self)).model_copy(**options)

    def __copy__(self) -> Any:
        return thawed(self)

    def __eq__(self, other: object) -> bool:
        return bool(_as_model(self) == (_as_model(other) if isinstance(other, ReadOnlyModel) else other))

    __hash__ = None  # type: ignore[assignment]


def _as_model(value: ReadOnlyModel) -> BaseModel:
    """A shallow copy of the model proper."""
    model = value._flowstate_model
    return cast(BaseModel, copied(value, model, model))


def _read_only_class(model: type[BaseModel], guard: Guard) -> type[ReadOnlyModel]:
    """A subclass that pydantic has no part in: it validates and dumps by what the model has."""
    namespace = {
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        "__slots__": (),
        "__hash__": model.__hash__,
        "_flowstate_guard": guard,
        "_flowstate_model": model,
    }
    made: Any = ABCMeta.__new__(type(model), model.__name__, (ReadOnlyModel, model), namespace)
    return cast(type[ReadOnlyModel], made)


class _ReadOnlyDataclass(ReadOnly):
    """Ahead of the dataclass in the classes that :class:`Guard` makes."""

    __slots__ = ()
    _flowstate_guard: Guard
    _flowstate_class: Any

    def __new__(cls, *values: Any, **named: Any) -> Any:
        return cls._flowstate_class(
            *values, **named
        )  # for ``dataclasses.replace``, which makes one of the same class

    def __init_subclass__(cls, **_: object) -> None:
        """As that of :class:`ReadOnlyModel`."""

    def __setattr__(self, name: str, value: object) -> None:
        __tracebackhide__ = True
        raise AttributeError(self._flowstate_guard.inner.refusal(Attempt.CHANGE))

    def __delattr__(self, name: str) -> None:
        __tracebackhide__ = True
        raise AttributeError(self._flowstate_guard.inner.refusal(Attempt.CHANGE))

    def flowstate_thawed(self) -> Any:
        return self._ordinary(thawed)

    def __copy__(self) -> Any:
        return self._ordinary(lambda inside: inside)

    def _ordinary(self, change: Callable[[Any], Any]) -> Any:
        made = object.__new__(self._flowstate_class)
        for name, inside in _held(self):
            _set(made, name, change(inside))
        return made

    def __eq__(self, other: object) -> bool:
        return bool(self.__copy__() == (other.__copy__() if isinstance(other, _ReadOnlyDataclass) else other))

    def __hash__(self) -> int:
        return hash(self.__copy__())


def _held(value: Any) -> list[tuple[str, Any]]:
    """What an instance of a dataclass keeps."""
    kept = dict(getattr(value, "__dict__", {}))
    slots = (field.name for field in dataclasses.fields(value))
    return list({**{name: getattr(value, name) for name in slots if hasattr(value, name)}, **kept}.items())


def _read_only_dataclass(kind: type, guard: Guard) -> Any:
    namespace = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__slots__": (),
        "_flowstate_guard": guard,
        "_flowstate_class": kind,
    }
    metaclass: Any = type(kind)
    return metaclass(kind.__name__, (_ReadOnlyDataclass, kind), namespace)
