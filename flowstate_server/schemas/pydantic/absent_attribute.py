"""What reading an attribute that a model does not have says, in views and in what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

_of_pydantic: Any = BaseModel.__getattr__  # type: ignore[attr-defined]


class TellsAbsent:
    """Ahead of a model. Its ``_flowstate_model`` is the model proper."""

    __slots__ = ()
    _flowstate_model: type[BaseModel]

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        model = type(self)._flowstate_model
        attribute: Any = getattr(model, "__getattr__", None)
        if name.startswith("_") or attribute is not _of_pydantic or hasattr(type(self), name):
            return attribute(self, name)
        raise absent(model.__name__, name, model.model_fields)


def absent(owner: str, name: str, fields: Iterable[str]) -> AttributeError:
    # Without an object Python adds no hint of its own when it prints the error.
    return AttributeError(f"{owner} has no field {name!r}{meant(name, fields)}", name=name, obj=None)


def meant(name: str, fields: Iterable[str]) -> str:
    close = get_close_matches(name, fields, 1)
    return f'; did you mean "{close[0]}"?' if close else ""
