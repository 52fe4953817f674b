"""What code of authors calls after the end of its run is refused, whatever it calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from pydantic import BaseModel

from flowstate_client import ActionAborted
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import RequestTerminalError
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.model.clock import Seconds
from flowstate_server.testing.server import running_server
from flowstate_server.testing.waiting import soon


class Counted(BaseModel):
    n: int = 0


async def _message(ctx: Context[Counted]) -> None:
    async with ctx.message() as message:
        await message.write("late")


CALLS: dict[str, Callable[[Context[Counted]], Awaitable[object]]] = {
    "item": lambda ctx: ctx.add_item("message", "late"),
    "message": _message,
    "event": lambda ctx: ctx.emit("late"),
    "status": lambda ctx: ctx.status("late"),
    "state": lambda ctx: ctx.session.inc_state(n=1),
    "metadata": lambda ctx: ctx.session.set_metadata(title="late"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_f14_a_call_after_the_end_is_refused(call: str) -> None:
    raised: list[BaseException] = []
    shown: list[int] = []
    ended, called = asyncio.Event(), asyncio.Event()

    async def late(ctx: Context[Counted]) -> None:
        await ended.wait()
        try:
            await CALLS[call](ctx)
        except BaseException as error:
            raised.append(error)
        shown.append(len(await ctx.session.items.history()))
        called.set()

    @handler(session_state=Counted)
    async def leave(value: None, ctx: Context[Counted]) -> str:
        tasks.append(asyncio.create_task(late(ctx)))
        return "left"

    tasks: list[asyncio.Task[None]] = []
    flow = define_flow("late", actions={"leave": action(block=leave)})
    async with running_server(flow) as server, server.connect(user="u") as client:
        assert await client.flows.call("late", "leave", None, session_id="s", timeout=20.0) == "left"
        ended.set()
        await soon(called.wait())
        assert isinstance(raised[0], RequestTerminalError)
        assert shown == [0]


async def test_f14_text_written_to_an_item_after_the_end_is_refused() -> None:
    raised: list[type[BaseException]] = []
    ended, called = asyncio.Event(), asyncio.Event()

    async def late(ctx: Context[Counted], begun: asyncio.Event) -> None:
        async with ctx.message() as message:
            await message.write("in time")
            begun.set()
            await ended.wait()
            try:
                await message.write("late")
            except RequestTerminalError as error:
                raised.append(type(error))
        called.set()

    @handler(session_state=Counted)
    async def leave(value: None, ctx: Context[Counted]) -> str:
        begun = asyncio.Event()
        tasks.append(asyncio.create_task(late(ctx, begun)))
        await begun.wait()
        return "left"

    tasks: list[asyncio.Task[None]] = []
    flow = define_flow("late", actions={"leave": action(block=leave)})
    async with running_server(flow) as server, server.connect(user="u") as client:
        assert await client.flows.call("late", "leave", None, timeout=20.0) == "left"
        ended.set()
        await soon(called.wait())
        assert raised == [RequestTerminalError]


@pytest.mark.parametrize("call", [*CALLS, "read"])
async def test_f16_a_call_after_the_server_was_closed_is_refused(call: str) -> None:
    raised: list[BaseException] = []
    begun, released = asyncio.Event(), asyncio.Event()

    @handler(session_state=Counted)
    async def cling(value: None, ctx: Context[Counted]) -> None:
        begun.set()
        tasks.append(asyncio.current_task())
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        try:
            await (ctx.session.refresh() if call == "read" else CALLS[call](ctx))
        except BaseException as error:
            raised.append(error)
            raise

    tasks: list[asyncio.Task[None] | None] = []
    flow = define_flow("late", actions={"cling": action(block=cling)})
    settings = EngineSettings(cancel_grace=Seconds(0.1))
    async with running_server(flow, settings=settings) as server, server.connect(user="u") as client:
        run = await client.flows.dispatch("late", "cling", None)
        await soon(begun.wait())
        await run.cancel()
        with pytest.raises(ActionAborted):
            await run.result(timeout=20.0)
    released.set()
    assert tasks[0] is not None
    await soon(asyncio.wait(tasks))  # type: ignore[type-var]
    assert isinstance(raised[0], RequestTerminalError)
