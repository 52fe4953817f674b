"""Dispatches whose own task does not come to its end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowstate_server.engine.calls.runs import ActionCall
from flowstate_server.engine.engine import Engine
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.stores.memory.store import MemoryStore

CALLER = Principal(plane=Plane.TRUSTED)


@handler
async def nothing(value: None, ctx: Context) -> None:
    return None


def _dispatches(tasks: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Those that store a request and run it, not what the store begins for itself."""
    return [task for task in tasks if "_store_and_run" in repr(task.get_coro())]


async def test_a_dispatch_whose_task_is_cancelled_before_it_begins_is_told_so_and_stores_nothing() -> None:
    flow = define_flow("test", actions={"go": action(block=nothing)})
    engine = Engine(MemoryStore(), Catalogue([flow]))
    await engine.open()
    try:
        before = asyncio.all_tasks()
        call = ActionCall(
            flow_kind="test", action="go", request_id="r1", session_id="s1", user_id="ada", input=b"{}"
        )
        dispatching = asyncio.create_task(engine.dispatcher.dispatch(CALLER, call))
        # Whoever looks once in every turn of the loop meets a task before its first step.
        while not (begun := _dispatches(asyncio.all_tasks() - before)):  # noqa: ASYNC110 - no event tells of a task
            await asyncio.sleep(0)
        for task in begun:
            assert task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(10.0):
                await dispatching
        assert (await engine.dispatcher.dispatch(CALLER, call)).attached is False
    finally:
        await engine.close()
