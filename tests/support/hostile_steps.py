"""Steps of sequencers, and a router, whose code of authors raises anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NoReturn

from pydantic import BaseModel

from flowstate_server.flows import Block, Context, Rescued, handler, router, sequencer


class Said(BaseModel):
    kind: str


def step_places(throw: Callable[[str], NoReturn]) -> dict[str, Callable[[str, Any], Awaitable[Any]]]:
    """By the name of a place: what raises there what ``throw`` raises for a kind."""

    def at_once(value: Said) -> NoReturn:
        throw(value.kind)

    async def later(value: Said, context: Any) -> Any:
        await asyncio.sleep(0)
        throw(value.kind)

    @handler
    async def raises(value: Said, ctx: Context) -> None:
        throw(value.kind)

    @handler
    async def raises_again(rescued: Rescued[Said], ctx: Context) -> None:
        throw(rescued.value.kind)

    @handler
    async def fails(value: Said, ctx: Context) -> None:
        raise LookupError

    @handler
    async def waits(value: Said, ctx: Context) -> None:
        await asyncio.Event().wait()

    begun = sequencer("plan", input=Said)
    blocks: dict[str, Block[Said, Any]] = {
        "map": begun.map(at_once),
        "when": begun.exit_if(later),
        "choose": router("way", {"raises": raises}, choose=later),
        "parallel": begun.parallel({"raises": raises, "waits": waits}),
        "side chain": begun.side_chain(raises).join(fail_on_error=True),
        "rescue": begun.step(fails).rescue((LookupError, raises_again)),
    }
    return {place: partial(_run, block) for place, block in blocks.items()}


async def _run(block: Block[Said, Any], kind: str, ctx: Context) -> None:
    await ctx.execute(block, Said(kind=kind))
