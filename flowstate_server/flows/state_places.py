"""Whether what blocks declare of each other's states can be met in a flow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.block import Block

Model = type[BaseModel] | None


@dataclass(slots=True)
class _Places:
    """What there may be around a block, over all its places: the models of its parents' states and of the nearest
    sequencers' that have one, and its own names, those around it and those beside it, each with the model there."""

    names: set[str] = field(default_factory=set)
    parents: set[Model] = field(default_factory=set)
    sequencers: set[Model] = field(default_factory=set)
    around: set[tuple[str, Model]] = field(default_factory=set)
    beside: set[tuple[str, Model]] = field(default_factory=set)


def check_block_states(flow_kind: str, roots: Iterable[Block[Any, Any]]) -> None:
    """Refuse states that blocks can't have, and those of others that no place in the flow has for them.

    Raises:
        FlowDefinitionError: naming the block and what it declares.
    """
    roots = tuple(roots)
    blocks = _parents_first(roots)
    places = {id(block): _Places() for block in blocks}
    for root in roots:
        places[id(root)].names.add(root.name)
    for block in blocks:
        here, own = places[id(block)], block.states.own
        beside = {(name, child.states.own) for name, child in block.executions}
        for name, child in block.executions:
            there = places[id(child)]
            there.names.add(name)
            there.parents.add(own)
            there.sequencers |= {own} if own and block.kind == "sequencer" else here.sequencers
            there.around |= here.around | {(mine, own) for mine in here.names}
            there.beside |= beside
    for block in blocks:
        block.state_schema  # noqa: B018 - made once, and refused if it can't be
        _check(f'flow "{flow_kind}": {block.kind} "{block.name}"', block, places[id(block)])


def _check(where: str, block: Block[Any, Any], places: _Places) -> None:
    states = block.states
    if states.parent is not None and not _any_is(places.parents, states.parent):
        problem = (
            f"declares parent_state={states.parent.__name__}, but no block that runs it has such a state"
        )
        raise FlowDefinitionError(f"{where} {problem}")
    if states.sequencer is not None and not _any_is(places.sequencers, states.sequencer):
        problem = f"declares sequencer_state={states.sequencer.__name__}, but no sequencer around it has such a state"
        raise FlowDefinitionError(f"{where} {problem}")
    for name, model in states.targets.items():
        found = {own for known, own in places.around | places.beside if known == name}
        if not _any_is(found, model):
            problem = (
                f'declares the target "{name}" with {model.__name__}, but no block of that name with such a '
            )
            raise FlowDefinitionError(f"{where} {problem}state is around it or beside it")


def _any_is(found: Iterable[Model], declared: type[BaseModel]) -> bool:
    return any(model is not None and issubclass(model, declared) for model in found)


def _parents_first(roots: Iterable[Block[Any, Any]]) -> list[Block[Any, Any]]:
    """All that ``roots`` reach, each behind all that may execute it. Blocks are made of finished ones: there is no
    cycle."""
    done: dict[int, Block[Any, Any]] = {}
    waiting = [(root, False) for root in roots]
    while waiting:
        block, left = waiting.pop()
        if left:
            done[id(block)] = block
        elif id(block) not in done:
            waiting.append((block, True))
            waiting += [(child, False) for child in block.children]
    return list(done.values())[::-1]
