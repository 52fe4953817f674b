"""A flow whose blocks tell what they read of the conversation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from pydantic import BaseModel

from flowstate_server.flows import ActionError, Context, Flow, Turns, action, define_flow, handler


class Say(BaseModel):
    text: str = ""


@dataclass
class Held:
    """Where runs of ``hold`` wait."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)


def remembering(held: Held, *, window: int = 20) -> Flow:
    """Actions: ``say`` answers, ``recall`` gives back what it reads, of so many turns as its text says, ``hold`` waits
    between two items, ``fail`` fails, ``refuse`` fails in words of its own."""

    @handler
    async def say(said: Say, ctx: Context) -> str:
        await ctx.add_item("message", said.text, role="user")
        async with ctx.message(role="assistant") as message:
            for word in ("you ", "said ", said.text):
                await message.write(word)
        return message.text

    @handler
    async def recall(asked: Say, ctx: Context) -> list[str]:
        limit = Turns(int(asked.text)) if asked.text else None
        return [item.text for item in await ctx.session.items.history(limit)]

    @handler
    async def hold(said: Say, ctx: Context) -> list[str]:
        known = await ctx.session.items.history()
        await ctx.add_item("message", f"{said.text} before", role="assistant")
        await ctx.status("held")
        held.reached.set()
        await held.opened.wait()
        await ctx.add_item("message", f"{said.text} after", role="assistant")
        assert [item.id for item in await ctx.session.items.history()][: len(known)] == [
            item.id for item in known
        ]
        return [item.text for item in await ctx.session.items.history()]

    @handler
    async def fail(said: Say, ctx: Context) -> None:
        await ctx.add_item("message", said.text, role="user")
        raise RuntimeError

    @handler
    async def refuse(said: Say, ctx: Context) -> None:
        await ctx.add_item("custom", said.text, name=said.text)
        raise ActionError("REFUSED", said.text, {said.text: said.text})

    return define_flow(
        kind="remembering",
        history_window=window,
        actions={
            "say": action(block=say),
            "recall": action(block=recall),
            "hold": action(block=hold),
            "fail": action(block=fail),
            "refuse": action(block=refuse),
        },
    )
