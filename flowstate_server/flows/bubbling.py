"""How the state and the resources that blocks declare bubble up into the flow that uses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from itertools import combinations
from typing import Any

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError, SchemaConflictError
from flowstate_server.flows.block import Block
from flowstate_server.flows.resources import AnyResource
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.description import ShownNames
from flowstate_server.programs.name_overlap import common_name
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.schemas.pydantic.schema import ModelSchema


def reachable_blocks(roots: Iterable[Block[Any, Any]]) -> tuple[Block[Any, Any], ...]:
    """``roots`` and all that they may execute, each once, parents before their children."""
    found: dict[int, Block[Any, Any]] = {}
    waiting = list(roots)[::-1]
    while waiting:
        block = waiting.pop()
        if id(block) not in found:
            found[id(block)] = block
            waiting += reversed(block.children)
    return tuple(found.values())


def merge_schemas(
    flow_kind: str, blocks: Iterable[Block[Any, Any]], own_models: Mapping[ScopeKind, type[BaseModel]]
) -> dict[ScopeKind, ModelSchema]:
    """The schema of every scope, from what ``blocks`` declare and the flow's own models.

    Raises:
        SchemaConflictError: two declarations of one field can't be merged.
    """
    declared: dict[ScopeKind, list[Declaration]] = {scope: [] for scope in ScopeKind}
    for block in blocks:
        for scope, declarations in block.declarations.items():
            declared[scope] += declarations
    for scope, model in own_models.items():
        declared[scope].append(Declaration(model, f'flow "{flow_kind}"'))
    return {
        scope: merge_declarations(scope, declarations, flow_kind) for scope, declarations in declared.items()
    }


def gather_resources(
    flow_kind: str, blocks: Iterable[Block[Any, Any]], own: Iterable[AnyResource]
) -> tuple[AnyResource, ...]:
    """What ``blocks`` and the flow declare, each once, in order of scope and name.

    Raises:
        SchemaConflictError: one name is declared in two ways.
        FlowDefinitionError: two declarations of one scope can be about the same resource.
    """
    found: dict[tuple[ScopeKind, str], tuple[AnyResource, str]] = {}
    declared = [(one, f'{block.kind} "{block.name}"') for block in blocks for one in block.resources]
    for one, declared_by in [*declared, *((one, f'flow "{flow_kind}"') for one in own)]:
        other, declared_first_by = found.setdefault((one.scope, one.name), (one, declared_by))
        if other != one:
            differ = (
                f"{declared_first_by} and {declared_by} declare it differently ({_difference(other, one)})"
            )
            raise SchemaConflictError(f"{one.scope} {one.written}: {differ}")
    gathered = [found[key] for key in sorted(found)]
    for (one, by), (other, other_by) in combinations(gathered, 2):
        if one.scope is other.scope and (name := common_name(one.name, other.name)) is not None:
            both = f"{one.written} ({by}) and {other.written} ({other_by})"
            problem = f'{both} of the {one.scope} can be about one resource, such as "{name}"'
            raise FlowDefinitionError(f'flow "{flow_kind}": {problem}')
    return tuple(one for one, _ in gathered)


def check_shown_names(
    flow_kind: str, resources: Iterable[AnyResource], shown: Mapping[ScopeKind, ShownNames]
) -> None:
    """Refuse single resources that clients would see under the name of another value of their scope.

    Raises:
        FlowDefinitionError: naming it.
    """
    for one in resources:
        names = shown.get(one.scope)
        if names is None or one.client is None or one.name not in (*names.exposed, *names.derived):
            continue
        problem = f"{one.written} has the name of what the {one.scope} exposes or derives for clients"
        raise FlowDefinitionError(
            f'flow "{flow_kind}": {problem}, who see both in one place: give it another'
        )


def _difference(one: AnyResource, other: AnyResource) -> str:
    """The first part of them that differs."""
    if type(one) is not type(other):
        return "one of them as a collection"
    parts = [part.name for part in fields(one) if getattr(one, part.name) != getattr(other, part.name)]
    if parts[0] == "state":
        names = [f"{model.__module__}.{model.__qualname__}" for model in (one.state, other.state)]
        return f"state: {' vs '.join(names)}"
    return f"another {parts[0]}"
