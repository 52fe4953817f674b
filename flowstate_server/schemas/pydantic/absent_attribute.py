"""What reading an attribute that a model does not have says, in views and in what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from flowstate_server.model.nearest import nearest_or_known

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
    return AttributeError(
        f"{owner} has no field {name!r}{nearest_or_known(name, fields)}", name=name, obj=None
    )
