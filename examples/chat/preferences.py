"""What a user prefers, in every conversation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from flowstate_server.flows import Context, handler

Tone = Literal["plain", "cheerful", "pirate"]


class Preferences(BaseModel):
    tone: Tone = "plain"


@handler(user_state=Preferences)
async def prefer(wish: Preferences, ctx: Context[Any, Preferences]) -> None:
    await ctx.user.patch_state(tone=wish.tone)
