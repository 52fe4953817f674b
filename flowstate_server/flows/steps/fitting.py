"""What can be told ahead of a run: whether steps fit together, and what they make."""

from __future__ import annotations

import inspect
import typing
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
    Set as AbstractSet,
)
from typing import Any

from pydantic import BaseModel

from flowstate_server.errors import ActionError, FlowDefinitionError, LeaseLostError, RequestTerminalError
from flowstate_server.flows.block import Block

_OF_ELEMENTS = (list, set, frozenset, Iterable, Collection, Sequence, AbstractSet)
_SAYS_NOTHING = (Awaitable, Coroutine, typing.NoReturn, typing.Never)
_OF_NO_ELEMENTS = (str, bytes, bool, int, float, type(None))


def joined(*types: Any) -> Any:
    """The type of what is of one of ``types``."""
    kinds: list[Any] = []
    for one in types:
        one = type(None) if one is None else one
        if one is Any or one is object:
            return Any
        if one not in kinds:
            kinds.append(one)
    return typing.Union[tuple(kinds)]  # noqa: UP007 - of what is known at run time


def quoted(block: Block[Any, Any]) -> str:
    return f'"{block.name}"'


def why_empty(name: str) -> str:
    return f'sequencer "{name}" is empty: give it a .step(...) or .tap(...)'


def element_of(annotation: Any, where: str) -> Any:
    """The type of the elements of ``annotation``, ``Any`` if it does not say.

    Raises:
        FlowDefinitionError: it has none.
    """
    origin = typing.get_origin(annotation) or annotation
    arguments = typing.get_args(annotation)
    model = inspect.isclass(origin) and issubclass(origin, BaseModel)
    if model or annotation is None or origin in _OF_NO_ELEMENTS or origin in (dict, Mapping):
        name = getattr(annotation, "__name__", str(annotation))
        raise FlowDefinitionError(f"{where} needs a list of elements, but is given {name}")
    if origin in _OF_ELEMENTS and len(arguments) == 1:
        return arguments[0]
    if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
        return arguments[0]
    return Any


def taken_by(function: Callable[..., Any]) -> Any:
    """The annotation of a function's first parameter, ``Any`` if there is none to read."""
    try:
        first = next(iter(inspect.signature(function).parameters), "")
    except (TypeError, ValueError):
        return Any
    return _hints(function).get(first, Any)


def given_by(function: Callable[..., Any]) -> Any:
    """The annotation of what a function gives, awaited, ``Any`` if there is none to read."""
    if isinstance(function, type):
        return function
    given = _hints(function).get("return", Any)
    return Any if (typing.get_origin(given) or given) in _SAYS_NOTHING else given


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    if isinstance(function, type):
        return {}
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        return {}


def check_function(function: object, what: str, takes: str) -> None:
    """Refuse what can't be called with as many arguments as ``takes`` names: ``(value, context)``.

    Raises:
        FlowDefinitionError: naming ``what``.
    """
    if not callable(function):
        raise FlowDefinitionError(f"{what} must be a function of {takes}, not {type(function).__name__}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*[None] * (takes.count(",") + 1))
    except TypeError:
        raise FlowDefinitionError(f"{what} must be a function of {takes}, not of {signature}") from None


def check_most(value: object, what: str) -> None:
    """
    Raises:
        FlowDefinitionError: ``value`` is no whole number of at least 1.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise FlowDefinitionError(f"{what} must be a whole number of at least 1")


def check_takes(given: type, taken: Any, where: str) -> None:
    """Refuse a block that is given a ``given`` and takes another class.

    Raises:
        FlowDefinitionError: naming ``where`` and both.
    """
    while typing.get_origin(taken) is typing.Annotated:
        taken = typing.get_args(taken)[0]
    kind = typing.get_origin(taken) or taken
    try:
        fits = kind is Any or not inspect.isclass(kind) or issubclass(given, kind)
    except TypeError:  # a protocol, for one
        return
    if not fits:
        raise FlowDefinitionError(f"{where} takes {kind.__name__}, but is given {given.__name__}")


def check_pairs(pairs: tuple[object, ...], where: str, pair: str) -> None:
    """
    Raises:
        FlowDefinitionError: there are none, or one is no tuple of two.
    """
    if not pairs or not all(isinstance(one, tuple) and len(one) == 2 for one in pairs):
        raise FlowDefinitionError(f"{where} needs at least one {pair}, each as a tuple")


def check_match(match: object, where: str) -> None:
    """
    Raises:
        FlowDefinitionError: no failure that may be rescued matches.
    """
    if isinstance(match, str) and match:
        return
    if not (inspect.isclass(match) and issubclass(match, BaseException)):
        problem = "must match an exception type or the code of an ActionError"
        raise FlowDefinitionError(f"{where} {problem}, not {match!r}")
    if not issubclass(match, Exception) or issubclass(match, LeaseLostError | RequestTerminalError):
        raise FlowDefinitionError(f"{where} can't match {match.__name__}: what ends a run is never rescued")


def check_thrown(error: object, where: str) -> None:
    """
    Raises:
        FlowDefinitionError: it is neither an ``ActionError`` nor a function that makes one.
    """
    if not isinstance(error, ActionError):
        check_function(error, f"the error of {where}, unless it is an ActionError,", "(value)")
