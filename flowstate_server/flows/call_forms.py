"""How calls are written, told to who writes one otherwise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
ClassT = TypeVar("ClassT", bound=type)

OPERATIONS = {
    "set_state": 'patch_state(name=value), or set_state({"name": value}) in place of all that is stored',
    "patch_state": "patch_state(name=value)",
    "inc_state": "inc_state(name=1)",
    "push_state": 'push_state("name", value)',
    "set_state_record": 'set_state_record("name", key, value)',
    "delete_state_record": 'delete_state_record("name", key)',
    "unset_state": 'unset_state("name")',
}
"""By name; "name" stands for that of a field."""


def refused_call(error: TypeError, owner: str, method: Callable[..., Any]) -> TypeError:
    """What says instead of ``error``, which Python raises for arguments that do not fit, how ``method`` is called;
    ``error`` itself if it came up in it."""
    within = error.__traceback__ is not None and error.__traceback__.tb_next is not None
    if within or not inspect.isfunction(method):
        return error
    name, prefix = method.__name__, f"{owner}." if owner else ""
    if form := OPERATIONS.get(name):
        return TypeError(f"{prefix}{name}(...) does not take these arguments: write {prefix}{form}")
    parameters = [*inspect.signature(method).parameters.values()][1:]
    shown = ", ".join(str(one.replace(annotation=inspect.Parameter.empty)) for one in parameters)
    return TypeError(f"{prefix}{name}(...) does not take these arguments, but ({shown})")


def explains_operations(cls: ClassT) -> ClassT:
    """Lets the operations of a class, which are functions, say how they are called."""
    for name in OPERATIONS:
        setattr(cls, name, _explaining(vars(cls)[name]))
    return cls


def _explaining(method: Callable[P, R]) -> Callable[P, R]:
    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True
        try:
            return method(*args, **kwargs)
        except TypeError as error:
            refused = refused_call(error, "", method)
            if refused is error:
                raise
        raise refused

    return call
