"""A flow whose action takes as long as it is told."""

from __future__ import annotations

import asyncio

from flowstate_server.flows import ActionError, Context, action, define_flow, handler


@handler
async def nap(seconds: float, ctx: Context) -> str:
    await ctx.emit("asleep")
    await asyncio.sleep(seconds)
    return "rested"


@handler
async def refuse(why: str, ctx: Context) -> None:
    raise ActionError("UNWILLING", why)


@handler
async def break_it(what: str, ctx: Context) -> None:
    raise RuntimeError(what)


@handler
async def echo(text: str, ctx: Context) -> str:
    return text


@handler
async def murmur(text: str, ctx: Context) -> None:
    async with ctx.message() as message:
        for word in text.split():
            await message.write(f"{word} ")
        await asyncio.sleep(60)


slow = define_flow(
    "slow",
    actions={
        "nap": action(block=nap),
        "refuse": action(block=refuse),
        "break": action(block=break_it),
        "echo": action(block=echo),
        "murmur": action(block=murmur),
    },
)
