"""What the function of ``atomic_state`` changes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from flowstate_server.errors import JsonInvalidError, StateFieldAbsentError, StateValidationError
from flowstate_server.model.json_values import JsonObject
from flowstate_server.schemas.pydantic.read_only import SCALARS
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.schemas.pydantic.stored_form import members_of, same_value
from flowstate_server.state.missing import MISSING
from flowstate_server.state.operations import Operation, patch_state


def require_function(change: object) -> None:
    """
    Raises:
        JsonInvalidError: it is none.
    """
    if not callable(change):
        raise JsonInvalidError("atomic_state", f"takes a function, not {type(change).__qualname__}")


def changed_by(
    change: Callable[[Any], object], schema: ModelSchema, model: type[Any], state: JsonObject
) -> Sequence[Operation]:
    """What to do to ``state`` by the function, which is given it as a ``model``.

    Raises:
        JsonInvalidError: the function gives what is no change.
        Exception: what it raises.
    """
    view = schema.view(model, state, in_change=True)
    return patch_state(_changes(view, change(view), state), schema.fields_json)


def _changes(view: Any, changed: object, state: JsonObject) -> Mapping[str, Any]:
    """What the function gave, as fields to write: of a model those that are not in the view."""
    if inspect.iscoroutine(changed):
        changed.close()
        raise JsonInvalidError("atomic_state", "the function must not be async")
    if isinstance(changed, Mapping):
        return changed
    if not isinstance(changed, BaseModel):
        given = type(changed).__qualname__
        problem = f"the function must return what changes, as a dict of fields or a changed copy, not {given}"
        raise JsonInvalidError("atomic_state", problem)
    if changed is view:
        return {}
    kind = type(changed)
    others = changed.__dict__.keys() - kind.model_fields.keys()
    if strangers := sorted(name for name in others if not hasattr(kind, name)):  # no cached property
        raise JsonInvalidError("atomic_state", f"the copy has what is no field: {', '.join(strangers)}")
    chosen = changed.model_fields_set
    return {
        name: value
        for name, value in members_of(changed).items()
        # a default that is only shown is not to be stored, unless it was changed in place
        if (name in chosen or name not in state) and not _shows(view, name, value)
    }


def _shows(view: Any, name: str, value: object) -> bool:
    """Whether a field of ``view`` is ``value``."""
    try:
        shown = getattr(view, name, MISSING)
    except (StateFieldAbsentError, StateValidationError):
        return False
    if type(value) in SCALARS and type(shown) is not type(value):
        return False
    return same_value(shown, value)
