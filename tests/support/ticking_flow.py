"""A flow that emits numbered events at its own pace. Servers serve it as ``tests.support.ticking_flow:app``."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from flowstate_server.app import create_flowstate
from flowstate_server.flows import Audience, ClientView, Context, Session, action, define_flow, handler
from tests.support.inside import inside

KIND = "ticking"


class Counted(BaseModel):
    count: int = 0


class Ticks(BaseModel):
    """``pause``: seconds after each. ``filling``: how many letters are in each, too. ``stay``: do not end."""

    count: int
    pause: float = 0.0
    filling: int = 0
    stay: bool = False


@handler(session_state=Counted)
async def tick(ticks: Ticks, ctx: Context[Counted]) -> int:
    for number in range(ticks.count):
        await ctx.emit("tick", {"number": number, "filling": "x" * ticks.filling}, audience=Audience.CLIENT)
        await asyncio.sleep(ticks.pause)
    if ticks.stay:
        await asyncio.Event().wait()
    return ticks.count


ticking = define_flow(
    kind=KIND,
    session=Session(client=ClientView(expose=["count"])),
    actions={"tick": action(block=tick)},
)
app = create_flowstate(flows=[ticking, inside])
