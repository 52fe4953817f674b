"""A flow whose sessions do not last, importable by a server process as ``tests.support.expiring_flow:app``."""

from __future__ import annotations

from pydantic import BaseModel

from flowstate_server.app import create_flowstate
from flowstate_server.flows import Context, ItemKind, Retention, Session, action, define_flow, handler

KIND = "expiring"
TTL = 3.0
"""Seconds."""


class Counted(BaseModel):
    count: int = 0
    text: str = ""


@handler(session_state=Counted)
async def talk(text: str, ctx: Context[Counted]) -> str:
    """A state write, a streamed message and a note."""
    await ctx.session.inc_state(count=1)
    await ctx.session.patch_state(text=text)
    await ctx.add_item(ItemKind.MESSAGE, text, role="user")
    async with ctx.message(role="assistant") as message:
        await message.write("re: ")
        await message.write(text)
    await ctx.session.append_journal(text)
    return text


flow = define_flow(
    kind=KIND,
    actions={"talk": action(block=talk)},
    session=Session(ttl=TTL, ephemeral_ttl=TTL, retention=Retention(max_turns=2)),
)
app = create_flowstate(flows=[flow])
APP = "tests.support.expiring_flow:app"
