"""What a block says of states that live as long as one execution of a block: its own, and those of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.names import check_name
from flowstate_server.schemas.pydantic.pydantic_1 import no_model_class

NO_TARGETS: Mapping[str, type[BaseModel]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class BlockStates:
    """The models of a block's ``own`` state, of its ``parent``'s, of that of the nearest ``sequencer`` around it, and
    of its ``targets`` by their names; as far as it declares them."""

    own: type[BaseModel] | None = None
    parent: type[BaseModel] | None = None
    sequencer: type[BaseModel] | None = None
    targets: Mapping[str, type[BaseModel]] = field(default_factory=lambda: NO_TARGETS)


NO_STATES = BlockStates()


def declared_states(
    block: str,
    *,
    state: type[BaseModel] | None,
    parent_state: type[BaseModel] | None,
    sequencer_state: type[BaseModel] | None,
    targets: Mapping[str, type[BaseModel]] | None,
) -> BlockStates:
    """What ``block`` (``handler "search"``) declares.

    Raises:
        FlowDefinitionError: something is no model class, or a target has no name.
    """
    named = {"state": state, "parent_state": parent_state, "sequencer_state": sequencer_state}
    for name, target in (targets or {}).items():
        check_name(f"a target of {block}", name)
        named[f'targets["{name}"]'] = target
    for what, model in named.items():
        if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise FlowDefinitionError(f"{block}: {what} {no_model_class(model)}")
    if not any(model is not None for model in named.values()):
        return NO_STATES
    return BlockStates(state, parent_state, sequencer_state, MappingProxyType(dict(targets or {})))
