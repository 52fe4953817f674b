"""The history of a session whose runs overlap: turns whole and one after the other, on every store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowstate_client import FlowStateClient
from flowstate_server.flows import Context, Flow, Turns, action, define_flow, handler
from flowstate_server.testing.fixtures import StartServer

Said = list[str]


class Talk:
    """A flow whose ``weather`` waits between its tool's call and output until it is told to go on."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.go_on = asyncio.Event()
        self.fails = False

    def flow(self) -> Flow:
        @handler(name="weather_block")
        async def weather(value: None, ctx: Context) -> None:
            await ctx.add_item("message", "weather?", role="user")
            await ctx.tool_call("weather", {}, call_id="1")
            self.called.set()
            await self.go_on.wait()
            await ctx.tool_output("1", "sunny")
            await ctx.add_item("message", "sunny!", role="assistant")
            if self.fails:
                raise ValueError("no")

        @handler(name="joke_block")
        async def joke(value: bool, ctx: Context) -> None:
            await ctx.add_item("message", "joke?", role="user")
            if value:
                await ctx.tool_call("joke", {}, call_id="1")
            await ctx.add_item("message", "joke!", role="assistant")

        @handler(name="history_block")
        async def history(value: int, ctx: Context) -> Said:
            return [
                item.text or item.kind.value
                for item in await ctx.session.items.history(Turns(value) if value else None)
            ]

        blocks: dict[str, Any] = {"weather": weather, "joke": joke, "history": history}
        return define_flow(kind="talk", actions={name: action(block=block) for name, block in blocks.items()})


WEATHER = ["weather?", "tool_call", "tool_output", "sunny!"]
JOKE = ["joke?", "joke!"]


async def read(client: FlowStateClient, turns: int = 0) -> Any:
    return await client.flows.call("talk", "history", turns, session_id="s")


@pytest.mark.parametrize("fails", [False, True], ids=["completes", "fails"])
@pytest.mark.parametrize("same_id", [False, True], ids=["one tool", "a call of the same id"])
async def test_f7_turns_that_overlap_are_whole_and_in_order(
    start_server: StartServer, store_url: str, fails: bool, same_id: bool
) -> None:
    talk = Talk()
    talk.fails = fails
    server = await start_server(talk.flow(), store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        run = await client.flows.dispatch("talk", "weather", session_id="s")
        await asyncio.wait_for(talk.called.wait(), 10)
        await client.flows.call("talk", "joke", same_id, session_id="s")
        assert await read(client) == JOKE
        talk.go_on.set()
        await asyncio.wait({asyncio.ensure_future(run.result())})
        assert await read(client) == (JOKE if fails else [*JOKE, *WEATHER])
        await client.flows.call("talk", "joke", same_id, session_id="s")
        whole = [*JOKE, *JOKE] if fails else [*JOKE, *WEATHER, *JOKE]
        assert await read(client) == whole
        assert await read(client, 1) == JOKE
        assert await read(client, 2) == whole[-len(JOKE) - len(JOKE if fails else WEATHER) :]
