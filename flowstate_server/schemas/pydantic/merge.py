"""Bubbling: the declarations of all blocks of a flow, merged into one schema for each scope."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError, SchemaConflictError
from flowstate_server.model.json_values import same_json
from flowstate_server.schemas.comparison import first_parting
from flowstate_server.schemas.pydantic.field_shape import shape_of
from flowstate_server.schemas.pydantic.merged_field import MergedField
from flowstate_server.schemas.pydantic.model_rules import ModelRules
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.schemas.shape import Shape, canonical_shape, nullable, shape_name, unwrapped
from flowstate_server.state.missing import MISSING


@dataclass(frozen=True, slots=True)
class Declaration:
    """A model that declares fields of a scope's state; ``declared_by`` names the block or flow in errors."""

    model: type[BaseModel]
    declared_by: str


@dataclass(frozen=True, slots=True)
class _Declared:
    """One field as one declaration has it."""

    name: str
    declared_by: str
    rules: ModelRules[Any]
    shape: Shape

    @property
    def gives_default(self) -> bool:
        return self.rules.has_default(self.name) or self.name in self.rules.drawn

    @property
    def type_name(self) -> str:
        return shape_name(self.shape)


def merge_declarations(
    scope: str, declarations: Sequence[Declaration], flow_kind: str = "", *, written: str = ""
) -> ModelSchema:
    """The schema of a scope of a flow, or of a resource. ``scope`` names it in errors, ``written`` is how blocks
    write to it: ``ctx.session``, if nothing else is said.

    Types that are equal but for ``Optional``, defaults and constraints that only one of them adds are compatible: the
    stricter wins, and every declaring model goes on validating. The only default is kept; but a default that is null
    is not, where another declaration doesn't allow null: the field is then absent until written, and only views of the
    model with that default show it.

    Raises:
        SchemaConflictError: two different defaults, or types that are incompatible.
        FlowDefinitionError: a model that can't declare state.
    """
    by_model: dict[type[BaseModel], str] = {}
    for declaration in declarations:
        by_model.setdefault(declaration.model, declaration.declared_by)
    all_rules = [(_rules_of(model, declared_by), declared_by) for model, declared_by in by_model.items()]
    declared: dict[str, list[_Declared]] = {}
    for rules, declared_by in all_rules:
        for name in rules.names:
            shape = shape_of(rules.parts.fields[name], rules.parts.definitions, rules.parts.config)
            declared.setdefault(name, []).append(_Declared(name, declared_by, rules, shape))
    fields = {name: _merge_field(scope, found) for name, found in declared.items()}
    return ModelSchema(scope, [rules for rules, _ in all_rules], fields, flow_kind, written)


def _rules_of(model: type[BaseModel], declared_by: str) -> ModelRules[Any]:
    try:
        return ModelRules(model)
    except FlowDefinitionError as error:
        raise FlowDefinitionError(f"{declared_by}: {error.problem}") from error


def _merge_field(scope: str, declared: list[_Declared]) -> MergedField:
    for one, other in combinations(declared, 2):
        _require_compatible(scope, one, other)
        _require_one_default(scope, one, other)
    shape = _stricter(declared)
    defaults = [found for found in declared if found.rules.has_default(found.name)]
    kept = defaults[0].rules if defaults else None
    if (
        kept is not None
        and not nullable(shape)
        and len(declared) > 1
        and kept.default(declared[0].name) is None
    ):
        kept = None
    drawn = next((found.rules for found in declared if found.name in found.rules.drawn), None)
    return MergedField(shape, tuple(found.rules for found in declared), kept, drawn)


def _require_compatible(scope: str, one: _Declared, other: _Declared) -> None:
    left, right = unwrapped(one.shape), unwrapped(other.shape)
    parting = first_parting(_bare(left), _bare(right))
    if parting is not None:
        types = f"{one.type_name} vs {other.type_name}"
        reason, detail = parting
        raise _conflict(
            scope, one, other, f"{types} ({reason})" if detail == types else f"{types} ({reason}, {detail})"
        )
    added, others = left.get("constraints", {}), right.get("constraints", {})
    if not (added.items() <= others.items() or others.items() <= added.items()):
        raise _conflict(
            scope, one, other, f"{one.type_name} vs {other.type_name} (neither is the stricter one)"
        )


def _require_one_default(scope: str, one: _Declared, other: _Declared) -> None:
    name = one.name
    if not (one.gives_default and other.gives_default):
        return
    ours, theirs = one.rules.model.model_fields[name], other.rules.model.model_fields[name]
    if ours.default_factory is not None and ours.default_factory is theirs.default_factory:
        return
    if name in one.rules.drawn and ours.default_factory is None and ours.default is theirs.default:
        return
    left, right = one.rules.default(name), other.rules.default(name)
    if left is MISSING or right is MISSING or not same_json(left, right):
        raise _conflict(
            scope, one, other, f"{one.type_name} vs {other.type_name} with two different defaults"
        )


def _conflict(scope: str, one: _Declared, other: _Declared, what: str) -> SchemaConflictError:
    return SchemaConflictError(
        f'{scope} state, field "{one.name}": {one.declared_by} ({one.rules.model.__qualname__}) and '
        f"{other.declared_by} ({other.rules.model.__qualname__}) declare {what}"
    )


def _bare(shape: Shape) -> Shape:
    return {key: value for key, value in shape.items() if key not in ("constraints", "validators")}


def _stricter(declared: list[_Declared]) -> Shape:
    """What all declarations together allow."""
    if len({canonical_shape(found.shape, exact=True) for found in declared}) == 1:
        return declared[0].shape
    inner = [unwrapped(found.shape) for found in declared]
    merged = dict(_bare(inner[0]))
    constraints = {key: value for shape in inner for key, value in shape.get("constraints", {}).items()}
    validators = sorted(set(_all(shape.get("validators", []) for shape in inner)))
    if constraints:
        merged["constraints"] = constraints
    if validators:
        merged["validators"] = validators
    optional = all(found.shape["type"] == "nullable" for found in declared)
    return {"type": "nullable", "of": merged} if optional else merged


def _all(lists: Iterable[list[str]]) -> list[str]:
    return [item for items in lists for item in items]
