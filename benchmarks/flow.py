"""The flow that the measured server serves. Times in events are ``time.monotonic_ns``, one clock for all processes."""

from __future__ import annotations

import asyncio
import random
import time

from pydantic import BaseModel

from flowstate_server.flows import Audience, Context, Flow, Turns, action, define_flow, handler

KIND = "bench"
REPLY = "You said it, and this is what there is to say about it."


class Counted(BaseModel):
    count: int = 0
    counts: dict[str, int] = {}


class Marked(BaseModel):
    written: int = 0


class Say(BaseModel):
    text: str


class Many(BaseModel):
    events: int


@handler(session_state=Counted)
async def turn(say: Say, ctx: Context[Counted]) -> str:
    """One state write, one message."""
    await ctx.session.inc_state(count=1)
    async with ctx.message() as message:
        await message.write(REPLY)
    return message.text


@handler(session_state=Counted)
async def remember(say: Say, ctx: Context[Counted]) -> str:
    """A turn that reads its session's history first."""
    history = await ctx.session.items.history(Turns(10))
    await ctx.session.inc_state(count=1)
    async with ctx.message() as message:
        await message.write(REPLY)
    return str(len(history))


@handler
async def burst(many: Many, ctx: Context) -> None:
    for number in range(many.events):
        await ctx.emit("step", {"number": number, "text": REPLY}, audience=Audience.CLIENT)


@handler(session_state=Marked)
async def mark(many: Many, ctx: Context[Marked]) -> None:
    """A state write and an event, again and again, each with the moment at which it was made; the event also says when
    the write was committed."""
    for _ in range(many.events):
        await asyncio.sleep(random.uniform(0.02, 0.06))
        await ctx.session.patch_state(written=time.monotonic_ns())
        committed = time.monotonic_ns()
        await asyncio.sleep(random.uniform(0.02, 0.06))
        marked = {"emitted": time.monotonic_ns(), "committed": committed}
        await ctx.emit("mark", marked, audience=Audience.CLIENT)


def bench_flow() -> Flow:
    return define_flow(
        kind=KIND,
        actions={
            "turn": action(input=Say, block=turn),
            "remember": action(input=Say, block=remember),
            "burst": action(input=Many, block=burst),
            "mark": action(input=Many, block=mark),
        },
    )
