"""A flow that thinks, calls a tool and speaks, a word at a time."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from flowstate_server.flows import (
    ActionError,
    ClientView,
    Context,
    ItemKind,
    ResourceView,
    Session,
    action,
    define_flow,
    handler,
    resource,
)

# Longer than what the server joins to one piece, so that every word comes alone.
PAUSE_SECONDS = 0.03


class Talk(BaseModel):
    asked: int = 0
    topic: str = "none"


class Plan(BaseModel):
    title: str = "untitled"


plan = resource("plan", state=Plan, client=ResourceView(expose=["title"], content=True, live=True))


@handler(session_state=Talk, resources=[plan])
async def answer(question: str, ctx: Context[Talk]) -> str:
    await ctx.session.inc_state(asked=1)
    await ctx.add_item(ItemKind.MESSAGE, question, role="user")
    async with ctx.reasoning() as thought:
        await thought.write("They ask for the weather; a tool knows about it, and I had better call it now.")
    call = await ctx.tool_call("weather", {"place": "Lisbon"}, call_id="call-1")
    await ctx.status("asking the station", 0.5)
    await ctx.tool_output(call.call_id, {"sky": "clear"}, name="weather")
    async with ctx.message(role="assistant") as message:
        for word in (
            "It is clear",
            " in Lisbon,",
            " and it will stay so over the whole of",
            " the week.\n\n",
        ):
            await message.write(word)
            await asyncio.sleep(PAUSE_SECONDS)
        await ctx.session.patch_state(topic="weather")
        for word in ("Take", " a hat", " and\x1b[2J", " enough to drink with you."):
            await message.write(word)
    return message.text


@handler
async def refuse(why: str, ctx: Context) -> None:
    raise ActionError("CLOSED", why)


@handler
async def wait(seconds: float, ctx: Context) -> dict[str, float]:
    await asyncio.sleep(seconds)
    return {"waited": seconds}


talk = define_flow(
    "talk",
    session=Session(
        client=ClientView(expose=["asked", "topic"], derived={"loud": lambda view: view.state.topic.upper()})
    ),
    actions={
        "answer": action(block=answer),
        "refuse": action(block=refuse),
        "wait": action(block=wait),
    },
)
