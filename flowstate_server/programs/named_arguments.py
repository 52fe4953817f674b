"""Functions that take their arguments by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def by_name(refusal: Callable[..., Exception]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a function of which ``refusal`` makes what is raised where arguments are given without their names."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            __tracebackhide__ = True
            if args:
                raise refusal(*args)
            return function(*args, **kwargs)

        return call

    return decorate
