"""What runs at night. It remembers things about users in a record of its own, whose fields may be called anything."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from flowstate_server.flows import Context, action, define_flow, handler


class Visits(BaseModel):
    tone: int = 0  # how often it was here; no business of the chat's


@handler(user_state=Visits)
async def tidy(_: None, ctx: Context[Any, Visits]) -> int:
    await ctx.user.inc_state(tone=1)
    return ctx.user.state.tone


maintenance = define_flow(kind="maintenance", actions={"tidy": action(block=tidy)}, isolate_user_state=True)
