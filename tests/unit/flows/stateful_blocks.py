"""Blocks with a state of their own, and those that use it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from flowstate_server.flows import (
    Block,
    Context,
    ScopeReading,
    action,
    define_flow,
    handler,
)
from flowstate_server.model.events import EventType
from flowstate_server.testing import FlowRun, run_flow


class Small(BaseModel):
    count: int = 0


class Other(BaseModel):
    count: int = 0


async def run_of(block: Block[Any, Any], value: Any = None, **options: Any) -> FlowRun:
    return await run_flow(define_flow("test", actions={"go": action(block=block)}), "go", value, **options)


def changes(run: FlowRun) -> list[Any]:
    return [event for event in run.events if event.type is EventType.STATE_CHANGE]


@handler(state=Small)
async def once(value: Any, ctx: Context) -> int:
    """How often this execution has been here: once."""
    await ctx.block_state(Small).inc_state(count=1)
    return ctx.block_state(Small).state.count


@handler(parent_state=Small)
async def up(value: Any, ctx: Context) -> int:
    await ctx.parent_state(Small).inc_state(count=1)
    return ctx.parent_state(Small).state.count


class Found(BaseModel):
    hits: int = 0


@handler(state=Found)
async def search(hits: int, ctx: Context) -> int:
    await ctx.block_state(Found).patch_state(hits=hits)
    return hits + 1


def hits_of(found: ScopeReading[Found] | None) -> int | None:
    return None if found is None else found.state.hits


@handler(targets={"search": Found})
async def look(value: Any, ctx: Context) -> int | None:
    return hits_of(ctx.target("search", Found))
