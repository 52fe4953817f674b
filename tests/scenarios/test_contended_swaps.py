"""Read-modify-write against writers that never pause."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from flowstate_server.app import create_flowstate
from flowstate_server.flows import Context, Flow, action, define_flow, handler
from flowstate_server.testing.fixtures import StartServer

SWAPS = 20
LOOPS = 4


class Counts(BaseModel):
    n: int = 0
    swaps: int = 0


def contended(stop: asyncio.Event) -> Flow:
    @handler(name="spin_block", session_state=Counts)
    async def spin(value: None, ctx: Context[Counts, Any, Any, Any]) -> int:
        writes = 0
        while not stop.is_set():
            await ctx.session.inc_state(n=1)
            writes += 1
        return writes

    @handler(name="swap_block", session_state=Counts)
    async def swap(value: None, ctx: Context[Counts, Any, Any, Any]) -> None:
        await ctx.session.atomic_state(lambda state: {"swaps": state.swaps + 1})

    return define_flow(kind="contended", actions={"spin": action(block=spin), "swap": action(block=swap)})


async def test_a7_swaps_win_against_loops_of_declarative_writes(
    start_server: StartServer, store_url: str
) -> None:
    stop = asyncio.Event()
    server = await start_server(create_flowstate(flows=[contended(stop)]), store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        session = await client.sessions.create("contended")
        call: dict[str, Any] = {"session_id": session.id}
        loops = [asyncio.create_task(client.flows.call("contended", "spin", **call)) for _ in range(LOOPS)]
        try:
            swaps = [client.flows.call("contended", "swap", timeout=50.0, **call) for _ in range(SWAPS)]
            outcomes = await asyncio.gather(*swaps, return_exceptions=True)
        finally:
            stop.set()
        assert outcomes == [None] * SWAPS
        writes = await asyncio.gather(*loops)
        state = (await client.state.session(session.id).get()).state
        assert (state["swaps"], state["n"]) == (SWAPS, sum(writes))
