"""What the blocks of one run have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import field

from pydantic import BaseModel

from flowstate_server.flows.local.block_resource import SeenResources
from flowstate_server.model.frozen import frozen
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.run_context import RunContext
from flowstate_server.schemas.pydantic.schema import ModelSchema


@frozen
class LocalRun:
    """``state_models`` are the flow's own, ``loop`` is the server's, ``seen`` the resources that blocks look at,
    ``call_ids`` those of the tool calls of models."""

    run: RunContext
    schemas: Mapping[ScopeKind, ModelSchema]
    state_models: Mapping[ScopeKind, type[BaseModel]]
    loop: asyncio.AbstractEventLoop
    seen: SeenResources = field(default_factory=dict)
    call_ids: set[str] = field(default_factory=set)
