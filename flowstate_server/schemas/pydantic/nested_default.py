"""Defaults below the top level, for operations on deeper paths."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from flowstate_server.errors import FlowStateError
from flowstate_server.model.json_values import Json
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.state.json_pointer import Pointer
from flowstate_server.state.missing import MISSING, Missing


def nested_default(model: type[BaseModel], pointer: Pointer) -> Json | Missing:
    """The default of the model field that ``pointer`` leads to through models and maps of models."""
    inside: Any = model
    for key in pointer[:-1]:
        inside = _inside(inside, key)
    info = _field(inside, pointer[-1])
    if info is None or info.is_required() or info.default_factory_takes_validated_data:
        return MISSING
    try:
        return to_json(info.get_default(call_default_factory=True), "")
    except FlowStateError:
        return MISSING


def _field(annotation: Any, key: str) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields.get(key)
    return None


def _inside(annotation: Any, key: str) -> Any:
    info = _field(annotation, key)
    if info is not None:
        return _bare(info.annotation)
    if get_origin(annotation) is dict:
        return _bare(get_args(annotation)[1])
    return None


def _bare(annotation: Any) -> Any:
    """Without ``Annotated`` and ``Optional``."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        others = [choice for choice in get_args(annotation) if choice is not type(None)]
        return _bare(others[0]) if len(others) == 1 else None
    return annotation
