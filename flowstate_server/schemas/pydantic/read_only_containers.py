"""Lists, maps and sets of views: equal to the value and of its type, but read-only.

What is in a list or a dict is wrapped when that is read; of the rarer kinds at once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from enum import Enum
from typing import Any, NoReturn, Protocol

from pydantic_core import SchemaSerializer, core_schema

from flowstate_server.schemas.pydantic.thawing import SCALARS, ReadOnly, thawed


class Attempt(Enum):
    """What was tried on something read-only."""

    APPEND = "append"
    PUT = "put"
    DELETE = "delete"
    CHANGE = "change"
    ASSIGN_NUMBER = "assign a number"
    ASSIGN_LIST = "assign a list"
    ASSIGN_MAP = "assign a map"
    UNSET = "unset"


class Guarding(Protocol):
    """See :class:`flowstate_server.schemas.pydantic.read_only.Guard`."""

    @property
    def inner(self) -> Guarding: ...

    def protect(self, value: Any) -> Any: ...

    def refusal(self, attempt: Attempt) -> str: ...


def _refusing(attempt: Attempt) -> Any:
    def refuse(self: Any, *_: object, **__: object) -> NoReturn:
        __tracebackhide__ = True
        raise TypeError(self._guard.refusal(attempt))

    return refuse


class ReadOnlyList(ReadOnly, list[Any]):
    __slots__ = ("_guard",)
    _guard: Guarding

    append = extend = insert = __iadd__ = _refusing(Attempt.APPEND)
    remove = pop = clear = sort = reverse = _refusing(Attempt.CHANGE)
    __setitem__ = __delitem__ = __imul__ = _refusing(Attempt.CHANGE)

    def flowstate_thawed(self) -> list[Any]:
        return [thawed(item) for item in list.__iter__(self)]

    def copy(self) -> list[Any]:
        return list(self)

    def __copy__(self) -> list[Any]:
        return list(self)


class UnreadList(ReadOnlyList):
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


class ReadOnlyDict(ReadOnly, dict[Any, Any]):
    __slots__ = ("_guard",)
    _guard: Guarding

    __setitem__ = setdefault = _refusing(Attempt.PUT)
    __delitem__ = pop = popitem = _refusing(Attempt.DELETE)
    update = __ior__ = _refusing(Attempt.ASSIGN_MAP)
    clear = _refusing(Attempt.CHANGE)

    def flowstate_thawed(self) -> dict[Any, Any]:
        return {key: thawed(item) for key, item in dict.items(self)}

    def copy(self) -> dict[Any, Any]:
        return dict(self)

    def __copy__(self) -> dict[Any, Any]:
        return dict(self)


class UnreadDict(ReadOnlyDict):
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


class ReadOnlySet(ReadOnly, set[Any]):
    __slots__ = ("_guard",)
    _guard: Guarding

    add = discard = remove = pop = clear = update = _refusing(Attempt.CHANGE)
    difference_update = intersection_update = symmetric_difference_update = _refusing(Attempt.CHANGE)
    __ior__ = __iand__ = __isub__ = __ixor__ = _refusing(Attempt.CHANGE)

    def flowstate_thawed(self) -> set[Any]:
        return set(self)

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


class ReadOnlyDeque(ReadOnly, deque[Any]):
    __slots__ = ("_guard",)
    _guard: Guarding
    __pydantic_serializer__ = SchemaSerializer(
        core_schema.any_schema(serialization=core_schema.plain_serializer_function_ser_schema(list))
    )
    """By which pydantic 2.13 writes it, which knows ``deque`` and no subclass."""

    append = appendleft = extend = extendleft = insert = __iadd__ = _refusing(Attempt.APPEND)
    remove = pop = popleft = clear = reverse = rotate = _refusing(Attempt.CHANGE)
    __setitem__ = __delitem__ = __imul__ = _refusing(Attempt.CHANGE)

    def flowstate_thawed(self) -> deque[Any]:
        return deque(map(thawed, self), self.maxlen)

    def copy(self) -> Any:
        return deque(self, self.maxlen)

    def __copy__(self) -> Any:
        return self.copy()

    def __add__(self, other: Any) -> Any:
        return self.copy() + other

    def __mul__(self, times: Any) -> Any:
        return self.copy() * times

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return repr(self.copy())


class _ReadOnlyMap(ReadOnly):
    __slots__ = ()

    __setitem__ = setdefault = _refusing(Attempt.PUT)
    __delitem__ = pop = popitem = _refusing(Attempt.DELETE)
    update = __ior__ = _refusing(Attempt.ASSIGN_MAP)
    clear = move_to_end = subtract = _refusing(Attempt.CHANGE)
    __iadd__ = __isub__ = __iand__ = _refusing(Attempt.CHANGE)

    def __copy__(self) -> Any:
        return self.copy()  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return repr(self.copy())  # type: ignore[attr-defined]


class ReadOnlyOrderedDict(_ReadOnlyMap, OrderedDict[Any, Any]):
    __slots__ = ("_guard",)
    _guard: Guarding

    def flowstate_thawed(self) -> OrderedDict[Any, Any]:
        return OrderedDict((key, thawed(item)) for key, item in self.items())

    def copy(self) -> Any:
        return OrderedDict(self)


class ReadOnlyDefaultDict(_ReadOnlyMap, defaultdict[Any, Any]):
    """Of a missing key it shows the default, and does not keep it."""

    __slots__ = ("_guard",)
    _guard: Guarding

    def __missing__(self, key: Any) -> Any:
        if self.default_factory is None:
            raise KeyError(key)
        return self._guard.inner.protect(self.default_factory())

    def flowstate_thawed(self) -> defaultdict[Any, Any]:
        return defaultdict(self.default_factory, {key: thawed(item) for key, item in self.items()})

    def copy(self) -> Any:
        return defaultdict(self.default_factory, self)


class ReadOnlyCounter(_ReadOnlyMap, Counter[Any]):
    __slots__ = ("_guard",)
    _guard: Guarding

    def flowstate_thawed(self) -> Counter[Any]:
        return Counter(self)

    def copy(self) -> Any:
        return Counter(self)


def rarer(value: Any, guard: Guarding) -> Any:
    """A read-only deque or map of a kind that is not ``dict``; ``None`` if ``value`` is neither."""
    kind = type(value)
    protect = guard.inner.protect
    made: Any
    if kind is deque:
        made = ReadOnlyDeque(map(protect, value), value.maxlen)
    elif kind is OrderedDict or kind is defaultdict or kind is Counter:
        made = _MAPS[kind].__new__(_MAPS[kind])  # what a Counter begins with is an update
        if kind is defaultdict:
            made.__init__(value.default_factory)
        for key, item in value.items():
            kind.__setitem__(made, key, protect(item))
    else:
        return None
    made._guard = guard
    return made


_MAPS: dict[Any, Any] = {
    OrderedDict: ReadOnlyOrderedDict,
    defaultdict: ReadOnlyDefaultDict,
    Counter: ReadOnlyCounter,
}
