"""Which execution of which block an event, a state change or a failure tells of."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from pydantic import BaseModel

from flowstate_server.flows import (
    ActionError,
    Context,
    Flow,
    action,
    define_flow,
    handler,
    sequencer,
)
from flowstate_server.model.events import EventType
from flowstate_server.testing import FlowRun, run_flow


class Note(BaseModel):
    count: int = 0


def flow_of(block: Any, **options: Any) -> Flow:
    return define_flow("test", actions={"go": action(block=block, **options)})


async def test_blocks_of_a_sequence_are_told_with_their_path() -> None:
    @handler(session_state=Note)
    async def inner(value: None, ctx: Context[Note]) -> None:
        await ctx.emit("here")

    run = await run_flow(flow_of(sequencer("outer").tap(inner)), "go")
    (told,) = [event for event in run.events if event.type is EventType.CUSTOM]
    assert told.block_path == ("outer", "inner")


def told_paths(run: FlowRun, kind: EventType) -> list[tuple[str, ...]]:
    return [event.block_path for event in run.events if event.type is kind]


async def test_passes_of_a_block_under_one_parent_are_told_apart() -> None:
    @handler
    async def search(value: int, ctx: Context) -> int:
        await ctx.emit("here")
        return value

    @handler(uses=[search])
    async def loop(value: int, ctx: Context) -> int:
        await asyncio.gather(*(ctx.execute(search, number) for number in range(3)))
        return value

    flow = flow_of(sequencer("plan").step(search).tap(loop).tap(search).tap(loop))
    run = await run_flow(flow, "go", 1)
    assert told_paths(run, EventType.CUSTOM) == [
        ("plan", "search"),
        ("plan", "loop", "search"),
        ("plan", "loop", "search#2"),
        ("plan", "loop", "search#3"),
        ("plan", "search#2"),
        ("plan", "loop#2", "search"),
        ("plan", "loop#2", "search#2"),
        ("plan", "loop#2", "search#3"),
    ]
    started = told_paths(run, EventType.BLOCK_STARTED)
    assert len(started) == len(set(started)) == 11
    assert sorted(told_paths(run, EventType.BLOCK_COMPLETED)) == sorted(started)


async def test_state_changes_and_items_carry_the_path_of_their_pass() -> None:
    @handler(session_state=Note)
    async def note(value: None, ctx: Context[Note]) -> None:
        await ctx.session.inc_state(count=1)
        async with ctx.message() as message:
            await message.write("noted")

    run = await run_flow(flow_of(sequencer("twice").tap(note).tap(note)), "go")
    for kind in (EventType.STATE_CHANGE, EventType.ITEM_ADDED, EventType.ITEM_DELTA, EventType.ITEM_DONE):
        assert told_paths(run, kind) == [("twice", "note"), ("twice", "note#2")]


async def test_a_failure_is_told_once_by_the_block_in_which_it_arose() -> None:
    @handler
    async def broken(value: int, ctx: Context) -> int:
        raise ActionError("BROKEN", f"at {value}")

    @handler(uses=[broken])
    async def rescue(value: int, ctx: Context) -> int:
        for number in range(2):
            with suppress(ActionError):
                await ctx.execute(broken, number)
        return value

    run = await run_flow(
        flow_of(sequencer("outer").step(rescue).step(sequencer("inner").step(broken))), "go", 1, check=False
    )
    assert run.failure is not None
    assert run.failure.reason == "BROKEN"
    assert told_paths(run, EventType.BLOCK_FAILED) == [
        ("outer", "rescue", "broken"),
        ("outer", "rescue", "broken#2"),
        ("outer", "inner", "broken"),
    ]
    assert told_paths(run, EventType.BLOCK_COMPLETED) == [("outer", "rescue")]


async def test_a_failure_that_is_another_one_is_told_by_the_block_that_made_it() -> None:
    @handler
    async def broken(value: None, ctx: Context) -> None:
        raise ValueError("inside")

    @handler(uses=[broken])
    async def translate(value: None, ctx: Context) -> None:
        try:
            await ctx.execute(broken, None)
        except ValueError as error:
            raise ActionError("TOLD", "to clients") from error

    run = await run_flow(flow_of(sequencer("outer").tap(translate)), "go", check=False)
    assert told_paths(run, EventType.BLOCK_FAILED) == [
        ("outer", "translate", "broken"),
        ("outer", "translate"),
    ]
