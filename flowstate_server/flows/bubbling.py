"""How the state that blocks declare bubbles up into the schemas of the flow that uses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from flowstate_server.flows.block import Block
from flowstate_server.model.scopes import RECORD_SCOPES, ScopeKind
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
    declared: dict[ScopeKind, list[Declaration]] = {scope: [] for scope in RECORD_SCOPES}
    for block in blocks:
        for scope, declarations in block.declarations.items():
            declared[scope] += declarations
    for scope, model in own_models.items():
        declared[scope].append(Declaration(model, f'flow "{flow_kind}"'))
    return {
        scope: merge_declarations(scope, declarations, flow_kind) for scope, declarations in declared.items()
    }
