"""What is wrong with a field that a handler names in an operation, as far as its declaration tells for certain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.signature import ORDER
from flowstate_server.flows.written_fields import WrittenField
from flowstate_server.model.nearest import did_you_mean
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.core_schemas import model_parts
from flowstate_server.schemas.pydantic.field_shape import kinds_of, shape_of
from flowstate_server.schemas.shape import LISTS, MAPS, NUMBERS, OBJECTS, shape_name

_NEEDED = {
    "inc_state": ("a number", NUMBERS),
    "push_state": ("a list", LISTS),
    "set_state_record": ("a map", MAPS | OBJECTS),
    "delete_state_record": ("a map", MAPS | OBJECTS),
}
_CERTAIN = NUMBERS | LISTS | MAPS | OBJECTS | {"str", "bool", "date", "datetime", "time", "uuid"}


def require_declared(
    block: str, models: Mapping[ScopeKind, type[BaseModel]], written: Iterable[WrittenField]
) -> None:
    """Refuse what can't be written by the model that the block declares in the scope, or the resource has.

    A scope without one is not judged, for then the fields are others'.

    Raises:
        FlowDefinitionError: with the block, the line, the operation, the field and the model.
    """
    for one in written:
        target = one.target
        if isinstance(target, ScopeKind):
            model, handle = models.get(target), f"ctx.{target}"
        else:
            model, handle = target.state, f"ctx.resource({target.name})"
        # a model that is not complete yet may still get fields; merging it tells if it never is
        whole = model is not None and (model is BaseModel or model.__pydantic_complete__)
        problem = _fault(one, model) if model is not None and whole else None
        if problem is not None:
            if isinstance(target, ScopeKind):
                problem += _given_elsewhere(one.field, target, models)
            place = f"{one.file}:{one.line}: {handle}.{one.operation}"
            raise FlowDefinitionError(f'handler "{block}", {place} {problem}')


def _given_elsewhere(field: str, scope: ScopeKind, models: Mapping[ScopeKind, type[BaseModel]]) -> str:
    """The hint that another scope's model has the field, which the one of ``scope`` has not."""
    if field in models[scope].model_fields:
        return ""
    for other, model in models.items():
        if field in model.model_fields:
            return f"; {model.__qualname__}, given for the {other}, has it: {ORDER}"
    return ""


def _fault(written: WrittenField, model: type[BaseModel]) -> str | None:
    field, title = written.field, model.__qualname__
    if model is BaseModel:
        return f'names "{field}", but the resource is declared without a state=...'
    if field not in model.model_fields:
        hint = did_you_mean(field, model.model_fields) or "; a block declares the fields that it uses"
        return f'names "{field}", but {title} has no such field{hint}'
    if written.operation in _NEEDED:
        needed, fitting = _NEEDED[written.operation]
        parts = model_parts(model)
        shape = shape_of(parts.fields[field], parts.definitions, parts.config)
        kinds = kinds_of(shape)
        if kinds and kinds <= _CERTAIN and kinds.isdisjoint(fitting):
            return f'needs {needed}, but "{field}" of {title} is {shape_name(shape)}'
    return None
