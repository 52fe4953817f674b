"""Finds what a block asks of its application's lifespan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from flowstate_server.errors import DependencyNotFoundError

T = TypeVar("T")


def find_dependency(given: Sequence[object], asked: type[T]) -> T:
    """The one of ``given`` that is an ``asked``.

    Raises:
        DependencyNotFoundError: none is, or several are.
    """
    found = [one for one in given if isinstance(one, asked)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DependencyNotFoundError(asked.__name__, f"several are one: {_types(found)}")
    if given:
        raise DependencyNotFoundError(asked.__name__, f"the lifespan yields {_types(given)}")
    problem = "there are none: give create_flowstate a lifespan, or a test dependencies="
    raise DependencyNotFoundError(asked.__name__, problem)


def _types(values: Sequence[object]) -> str:
    return ", ".join(type(value).__name__ for value in values)
