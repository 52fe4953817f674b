"""A chat that speaks in the tone that its user prefers, whoever chose it."""

from __future__ import annotations

from typing import Any

from examples.two_flows.preferences import Preferences
from flowstate_server.flows import ClientView, Context, User, action, define_flow, handler


@handler(user_state=Preferences)
async def greet(name: str, ctx: Context[Any, Preferences]) -> str:
    return f"Hi {name}!" if ctx.user.state.tone == "cheerful" else f"Good morning, {name}."


chat = define_flow(
    kind="chat",
    actions={"greet": action(block=greet)},
    user=User(client=ClientView(expose=["tone", "language"])),
)
