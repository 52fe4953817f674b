"""A block that counts messages. It brings the state field that it needs to any flow it is put in."""

from __future__ import annotations

from pydantic import BaseModel

from examples.chat.say import Say
from flowstate_server.flows import Context, handler


class Counted(BaseModel):
    message_count: int = 0


@handler(session_state=Counted)
async def count(say: Say, ctx: Context[Counted]) -> None:
    await ctx.session.inc_state(message_count=1)
