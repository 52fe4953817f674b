"""What a support team uses: it changes the preferences of a user, and counts in its own session that it did."""

from __future__ import annotations

from pydantic import BaseModel

from examples.two_flows.preferences import Preferences
from flowstate_server.flows import Context, action, define_flow, handler


class Support(BaseModel):
    changes: int = 0


@handler(session_state=Support, user_state=Preferences)
async def adjust(wish: Preferences, ctx: Context[Support, Preferences]) -> int:
    await ctx.user.set_state(wish)
    await ctx.session.inc_state(changes=1)
    return ctx.session.state.changes


admin = define_flow(kind="admin", actions={"adjust": action(block=adjust)})
