"""What FlowState serves beside its peers: one flow, which looks back on everything or on the newest turns."""

from __future__ import annotations

from pydantic import BaseModel

from benchmarks.flow import bench_flow
from benchmarks.peers.peer import MESSAGES_A_TURN, NEWEST, text
from flowstate_server.app import FlowState, create_flowstate
from flowstate_server.flows import Context, action, define_flow, handler

KIND = "conversation"
EVERYTHING = 1_000_000


class Counted(BaseModel):
    count: int = 0


class Say(BaseModel):
    text: str


@handler(session_state=Counted)
async def say(say: Say, ctx: Context[Counted]) -> int:
    """How many messages it has read."""
    history = await ctx.session.items.history()
    await ctx.add_item("message", say.text, role="user")
    await ctx.session.inc_state(count=1)
    await ctx.add_item("message", text(), role="assistant")
    return len(history)


def _serving(window: int) -> FlowState:
    flow = define_flow(kind=KIND, history_window=window, actions={"say": action(input=Say, block=say)})
    return create_flowstate(flows=[flow, bench_flow()])  # the latter tells the CPU time of the process


reads_all = _serving(EVERYTHING)
reads_newest = _serving(NEWEST // MESSAGES_A_TURN)
