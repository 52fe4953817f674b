"""What views hand out for lists, dicts, sets and nested models: equal to the value and of its type, but read-only.

A container is wrapped when its field is read, what is in it when that is read. So reading one message of a thousand
wraps two objects, and scalars cost nothing. Copies (``list(x)``, ``x.copy()``, ``copy.deepcopy(x)``, ``model_copy``)
are ordinary values; of shallow ones the members are read-only still.
"""

from __future__ import annotations

import copy
from abc import ABCMeta
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NoReturn, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel

T = TypeVar("T")
_set = object.__setattr__

SCALARS = frozenset(
    (type(None), bool, int, float, str, bytes, date, datetime, time, timedelta, Decimal, UUID)
)


class Attempt(Enum):
    """What was tried on something read-only."""

    APPEND = "append"
    PUT = "put"
    DELETE = "delete"
    CHANGE = "change"


Advice = Callable[[str, Attempt], str]
"""What to do instead, given the field and what was tried on its value."""


def advice_in_block(scope: str) -> Advice:
    def advice(field: str, attempt: Attempt) -> str:
        writer = f"ctx.{scope}"
        instead = {
            Attempt.APPEND: f"append to it with {writer}.push_state({field!r}, ...)",
            Attempt.PUT: f"write it with {writer}.set_state_record({field!r}, key, value)",
            Attempt.DELETE: f"remove it with {writer}.delete_state_record({field!r}, key)",
            Attempt.CHANGE: f"write it with {writer}.patch_state({field}=...)",
        }[attempt]
        return f"a view of state is read-only, here {field!r}: {instead}"

    return advice


def advice_in_change(scope: str) -> Advice:
    def advice(field: str, attempt: Attempt) -> str:
        return (
            f"the state given to the function of ctx.{scope}.atomic_state is read-only, here {field!r}: "
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

    def protect(self, value: Any) -> Any:
        """``value`` itself if it is a scalar, read-only already, or of a type that is left alone, like dataclasses."""
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is list:
            made = (ReadOnlyList if SCALARS.issuperset(map(type, value)) else _UnreadList)(value)
            made._guard = self
            return made
        if kind is dict:
            held = (ReadOnlyDict if SCALARS.issuperset(map(type, value.values())) else _UnreadDict)(value)
            held._guard = self
            return held
        if kind is set:
            distinct = ReadOnlySet(value)
            distinct._guard = self
            return distinct
        if kind is tuple:
            return tuple(map(self.inner.protect, value))
        return self._protect_model(value) if isinstance(value, BaseModel) else value

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
        made = _copied(
            value, model, protected
        )  # a validator or a default_factory may have given what it keeps
        for values in (made.__dict__, made.__pydantic_extra__ or {}):
            for name, inside in values.items():
                if type(inside) not in SCALARS:
                    values[name] = self.inner.protect(inside)
        return made


def thawed(value: T) -> T:
    """A deep copy of ordinary values."""
    return cast(T, _thawed(value))


def _thawed(value: Any) -> Any:
    if type(value) in SCALARS:
        return value
    if isinstance(value, ReadOnlyModel):
        return _thawed_members(_as_model(value))
    kind = type(value)
    if kind is list or isinstance(value, ReadOnlyList):
        return [_thawed(item) for item in list.__iter__(value)]
    if kind is dict or isinstance(value, ReadOnlyDict):
        return {key: _thawed(item) for key, item in dict.items(value)}
    if kind is tuple:
        return tuple(map(_thawed, value))
    if isinstance(value, ReadOnlySet):
        return set(value)
    if isinstance(value, BaseModel):
        return _thawed_members(_copied(value, kind, kind))
    return copy.deepcopy(value)


def _thawed_members(made: BaseModel) -> BaseModel:
    for values in (made.__dict__, made.__pydantic_extra__ or {}):
        for name, inside in values.items():
            if type(inside) not in SCALARS:
                values[name] = _thawed(inside)
    return made


def _refusing(attempt: Attempt) -> Any:
    def refuse(self: Any, *_: object, **__: object) -> NoReturn:
        raise TypeError(self._guard.refusal(attempt))

    return refuse


def _same(value: T) -> T:
    return value


class _ReadOnly:
    """What the read-only containers have in common."""

    __slots__ = ()

    def __deepcopy__(self, memo: object) -> Any:
        return thawed(self)

    def __reduce_ex__(self, protocol: object) -> Any:
        return _same, (thawed(self),)


class ReadOnlyList(_ReadOnly, list[Any]):
    __slots__ = ("_guard",)
    _guard: Guard

    append = extend = insert = __iadd__ = _refusing(Attempt.APPEND)
    remove = pop = clear = sort = reverse = _refusing(Attempt.CHANGE)
    __setitem__ = __delitem__ = __imul__ = _refusing(Attempt.CHANGE)

    def copy(self) -> list[Any]:
        return list(self)

    def __copy__(self) -> list[Any]:
        return list(self)


class _UnreadList(ReadOnlyList):
    """One whose members are still to be wrapped, each when it is read; all of them when it is iterated."""

    __slots__ = ()

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        item = list.__getitem__(self, place)
        if type(item) in SCALARS:
            return item
        protected = self._guard.inner.protect(item)
        list.__setitem__(self, place, protected)
        return protected

    def _read(self) -> ReadOnlyList:
        protect = self._guard.inner.protect
        list.__setitem__(self, slice(None), [protect(item) for item in list.__iter__(self)])
        self.__class__ = ReadOnlyList  # type: ignore[assignment]
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(self._read())

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._read())

    def __add__(self, other: Any) -> Any:
        return list(self) + other

    def __radd__(self, other: Any) -> Any:
        return other + list(self)


class ReadOnlyDict(_ReadOnly, dict[Any, Any]):
    __slots__ = ("_guard",)
    _guard: Guard

    __setitem__ = setdefault = _refusing(Attempt.PUT)
    __delitem__ = pop = popitem = _refusing(Attempt.DELETE)
    update = clear = __ior__ = _refusing(Attempt.CHANGE)

    def copy(self) -> dict[Any, Any]:
        return dict(self)

    def __copy__(self) -> dict[Any, Any]:
        return dict(self)


class _UnreadDict(ReadOnlyDict):
    """As :class:`_UnreadList`."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        item = dict.__getitem__(self, key)
        if type(item) in SCALARS:
            return item
        protected = self._guard.inner.protect(item)
        dict.__setitem__(self, key, protected)
        return protected

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401 - this is that method

    def _read(self) -> ReadOnlyDict:
        protect = self._guard.inner.protect
        for key, item in dict.items(self):
            if type(item) not in SCALARS:
                dict.__setitem__(self, key, protect(item))
        self.__class__ = ReadOnlyDict  # type: ignore[assignment]
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(self._read())

    def values(self) -> Any:
        return self._read().values()

    def items(self) -> Any:
        return self._read().items()

    def __or__(self, other: Any) -> Any:
        return dict(self) | other

    def __ror__(self, other: Any) -> Any:
        return other | dict(self)


class ReadOnlySet(_ReadOnly, set[Any]):
    __slots__ = ("_guard",)
    _guard: Guard

    add = discard = remove = pop = clear = update = _refusing(Attempt.CHANGE)
    difference_update = intersection_update = symmetric_difference_update = _refusing(Attempt.CHANGE)
    __ior__ = __iand__ = __isub__ = __ixor__ = _refusing(Attempt.CHANGE)

    def copy(self) -> set[Any]:
        return set(self)

    def __copy__(self) -> set[Any]:
        return set(self)

    def union(self, *others: Any) -> set[Any]:
        return set(self).union(*others)

    def __or__(self, other: Any) -> Any:
        return set(self) | other

    def __repr__(self) -> str:
        return repr(set(self))


class ReadOnlyModel:
    """Ahead of the model in the classes that :class:`Guard` makes."""

    __slots__ = ()
    _flowstate_guard: Guard
    _flowstate_model: type[BaseModel]

    def __init_subclass__(cls, **_: object) -> None:
        """Keeps the author's hook from seeing classes that the author did not write."""

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_"):  # private attributes are no state
            return super().__setattr__(name, value)
        raise AttributeError(self._flowstate_guard.inner.refusal(Attempt.CHANGE))

    def __delattr__(self, name: str) -> None:
        raise AttributeError(self._flowstate_guard.inner.refusal(Attempt.CHANGE))

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

    def __deepcopy__(self, memo: object = None) -> Any:
        return thawed(self)

    def __reduce__(self) -> Any:
        return _same, (thawed(self),)

    def __eq__(self, other: object) -> bool:
        return bool(_as_model(self) == (_as_model(other) if isinstance(other, ReadOnlyModel) else other))

    __hash__ = None  # type: ignore[assignment]


def _as_model(value: ReadOnlyModel) -> BaseModel:
    """A shallow copy of the model proper."""
    model = value._flowstate_model
    return cast(BaseModel, _copied(value, model, model))


def _copied(value: Any, model: Any, kind: Any) -> Any:
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
