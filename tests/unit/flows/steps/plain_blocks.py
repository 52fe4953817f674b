"""Blocks that steps run: one that works, one that fails, one that never ends."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from flowstate_server.flows import (
    ActionError,
    Block,
    Context,
    Rescued,
    action,
    define_flow,
    handler,
)
from flowstate_server.testing import FlowRun, run_flow


class Counted(BaseModel):
    count: int = 0


@handler
async def double(value: int, ctx: Context) -> int:
    await asyncio.sleep(0)
    return value * 2


@handler
async def fail(value: int, ctx: Context) -> int:
    await asyncio.sleep(0)
    raise ActionError("FAILED", f"at {value}")


@handler
async def forever(value: int, ctx: Context) -> int:
    await asyncio.Event().wait()
    return value


@handler
async def value_of(rescued: Rescued[Any], ctx: Context) -> Any:
    return [type(rescued.error).__name__, rescued.value]


@handler(session_state=Counted)
async def count(value: int, ctx: Context[Counted]) -> int:
    await ctx.session.inc_state(count=1)
    return value


async def run_of(block: Block[Any, Any], value: Any, **options: Any) -> FlowRun:
    return await run_flow(define_flow("test", actions={"go": action(block=block)}), "go", value, **options)
