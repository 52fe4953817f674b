"""The history of a session whose runs overlap: turns whole and one after the other, on every store."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any, cast

import pytest
from pydantic import BaseModel

from flowstate_client import ActionFailed, FlowStateClient
from flowstate_server.flows import Audience, Context, Flow, Turns, action, define_flow, handler
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


class Step(BaseModel):
    """``text`` names the turn; ``fails``: between its tool's call and output."""

    text: str
    fails: bool = False


class Tools:
    """A flow whose turns call a tool under one and the same id, and wait for its output until told to go on."""

    def __init__(self) -> None:
        self.called: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.go_on: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def flow(self) -> Flow:
        @handler(name="use_block")
        async def use(value: Step, ctx: Context) -> list[Said]:
            """What it reads before and after its tool's output."""
            name = value.text
            await ctx.add_item("message", name, role="user")
            await ctx.tool_call(name, {}, call_id="1")
            await ctx.add_item("message", f"hidden {name}", role="assistant", audiences=(Audience.CLIENT,))
            before = await said(ctx)
            self.called[name].set()
            await self.go_on[name].wait()
            if value.fails:
                raise ValueError("no")
            await ctx.tool_output("1", name)
            return [before, await said(ctx)]

        @handler(name="history_block")
        async def history(value: int, ctx: Context) -> Said:
            return await said(ctx, Turns(value) if value else None)

        acts: dict[str, Any] = {"use": action(block=use), "history": action(block=history)}
        return define_flow(kind="talk", actions=acts)


async def said(ctx: Context, limit: Turns | None = None) -> Said:
    items = await ctx.session.items.history(limit)
    return [
        item.text or f"{item.kind.value} {item.name or cast(Any, item.content)['output']}" for item in items
    ]


def turn(name: str) -> Said:
    return [name, f"tool_call {name}", f"tool_output {name}"]


async def test_f7_three_overlapping_runs_with_one_call_id_and_one_that_fails_between(
    start_server: StartServer, store_url: str
) -> None:
    tools = Tools()
    server = await start_server(tools.flow(), store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        runs = {}
        for name in ("a", "b", "c", "d"):
            step = Step(text=name, fails=name == "b")
            runs[name] = await client.flows.dispatch("talk", "use", step, session_id="s")
            await asyncio.wait_for(tools.called[name].wait(), 10)
        done: Said = []
        for name in ("c", "b", "d", "a"):
            tools.go_on[name].set()
            if name == "b":
                with pytest.raises(ActionFailed):
                    await runs[name].result()
            else:
                pending = [name, f"tool_call {name}"]
                assert await runs[name].result() == [pending, [*pending, f"tool_output {name}"]]
                done += turn(name)
            assert await read(client) == done
        assert await read(client, 1) == turn("a")
        assert await read(client, 2) == [*turn("d"), *turn("a")]
        assert await read(client, 9) == done
