"""A flow that means something else by ``tone``, in the record that the others share: it is refused.

``importer`` alone can be served, but not beside a server of the others on the same store. ``together()`` shows that one
server does not take it either.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from examples.two_flows.admin import admin
from examples.two_flows.chat import chat
from flowstate_server.app import FlowState, create_flowstate
from flowstate_server.flows import Context, action, define_flow, handler


class Imported(BaseModel):
    tone: int = 0


@handler(user_state=Imported)
async def take_over(tone: int, ctx: Context[Any, Imported]) -> None:
    await ctx.user.patch_state(tone=tone)


importer = define_flow(kind="importer", actions={"take_over": action(block=take_over)})


def together() -> FlowState:
    """
    Raises:
        CrossFlowSchemaConflictError: always.
    """
    return create_flowstate(flows=[chat, admin, importer])
