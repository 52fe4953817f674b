"""What is wrong with a field that a handler names in an operation, as far as its declaration tells for certain."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.written_fields import WrittenField
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.core_schemas import model_parts
from flowstate_server.schemas.pydantic.field_shape import shape_of
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.schemas.shape import LISTS, MAPS, OBJECTS, Shape, shape_name

_NUMBERS = frozenset(("int", "float"))
_NEEDED = {
    "inc_state": ("a number", _NUMBERS),
    "push_state": ("a list", LISTS),
    "set_state_record": ("a map", MAPS | OBJECTS),
    "delete_state_record": ("a map", MAPS | OBJECTS),
}
_CERTAIN = _NUMBERS | LISTS | MAPS | OBJECTS | {"str", "bool", "date", "datetime", "time", "uuid"}


def require_declared(
    written: Iterable[WrittenField], models: Mapping[ScopeKind, type[BaseModel]], block: str
) -> tuple[WrittenField, ...]:
    """Refuse what a block can't write by the model that it declares in the scope.

    Returns:
        Those in scopes that it has no model for: what they may be is for the flow to say.

    Raises:
        FlowDefinitionError: with the block, the line, the operation, the field and the model.
    """
    elsewhere = []
    for one in written:
        model = models.get(one.scope)
        if model is None:
            if one.operation != "get":  # which reads through another model, and may find nothing
                elsewhere.append(one)
        elif model.__pydantic_complete__:
            problem = _fault(one, model.model_fields, _shapes_of(model), model.__qualname__)
            if problem is not None:
                raise FlowDefinitionError(f'handler "{block}", {problem}')
    return tuple(elsewhere)


def require_known(
    written: Iterable[WrittenField], schemas: Mapping[ScopeKind, ModelSchema], block: str, flow: str
) -> None:
    """Refuse what a block can't write by the schema that its flow has for the scope.

    Raises:
        FlowDefinitionError: with the flow, the block, the line, the operation and the field.
    """
    for one in written:
        schema = schemas[one.scope]
        problem = _fault(one, schema.fields, schema.shape, f"the {one.scope} state of the flow")
        if problem is not None:
            raise FlowDefinitionError(f'flow "{flow}": block "{block}", {problem}')


def _shapes_of(model: type[BaseModel]) -> Callable[[str], Shape]:
    def shape(name: str) -> Shape:
        parts = model_parts(model)
        return shape_of(parts.fields[name], parts.definitions, parts.config)

    return shape


def _fault(
    written: WrittenField, fields: Collection[str], shape_of_field: Callable[[str], Shape], owner: str
) -> str | None:
    field = written.field
    place = f"{written.file}:{written.line}: ctx.{written.scope}.{written.operation}"
    if field not in fields:
        close = get_close_matches(field, fields, 1)
        hint = f'did you mean "{close[0]}"?' if close else "a block declares the fields that it uses"
        return f'{place} names "{field}", but {owner} has no such field; {hint}'
    if written.operation in _NEEDED:
        needed, fitting = _NEEDED[written.operation]
        shape = shape_of_field(field)
        kinds = _kinds(shape)
        if kinds and kinds <= _CERTAIN and kinds.isdisjoint(fitting):
            return f'{place} needs {needed}, but "{field}" of {owner} is {shape_name(shape)}'
    return None


def _kinds(shape: Shape) -> set[str]:
    """The types that a field may have, null apart."""
    if shape.get("validators"):
        return {"whatever a function makes of it"}
    if shape["type"] == "nullable":
        return _kinds(shape["of"])
    if shape["type"] in ("union", "tagged-union"):
        return {kind for choice in shape["choices"] for kind in _kinds(choice)}
    return set() if shape["type"] == "none" else {shape["type"]}
