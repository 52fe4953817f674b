"""Wherever a sequencer is cancelled: all that it runs ends first, and nothing is written afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.flows import Block, Context, Rescued, handler, router, sequencer
from tests.unit.flows.steps.local_run import EventsOnly, executed

MOST_TURNS = 200


@handler
async def slow(value: int, ctx: Context) -> int:
    """Awaits, tells, and takes its time to end."""
    try:
        await asyncio.sleep(0)
        await ctx.emit("did", value)
        await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
        await ctx.emit("cleaned up")
    return value + 1


@handler
async def hides_its_cancellation(value: int, ctx: Context) -> int:
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        raise ValueError("as if it had failed") from None
    return value


@handler
async def broken(value: int, ctx: Context) -> int:
    await asyncio.sleep(0)
    raise ValueError("broken")


@handler
async def mend(rescued: Rescued[int], ctx: Context) -> int:
    await asyncio.sleep(0)
    await ctx.emit("mended")
    return 0


async def decide(value: int, ctx: Any) -> bool:
    await asyncio.sleep(0)
    return value < 3


async def chosen(value: int, ctx: Any) -> str:
    await asyncio.sleep(0)
    return "in"


class Counted(BaseModel):
    count: int = 0


@handler(state=Counted, parent_state=Counted)
async def counts(value: int, ctx: Context) -> int:
    await ctx.block_state(Counted).inc_state(count=1)
    await asyncio.sleep(0)
    await ctx.parent_state(Counted).atomic_state(lambda now: {"count": now.count + 1})
    return value


PLANS: dict[str, Block[int, Any]] = {
    "steps": sequencer("plan").step(slow).tap(slow).step_if(decide, slow),
    "parallel": sequencer("plan").parallel(
        {"a": slow, "b": sequencer("in").step(slow).step(slow), "c": slow}
    ),
    "narrow parallel": sequencer("plan").parallel(dict.fromkeys("abcd", slow), max_concurrency=2),
    "failing parallel": sequencer("plan").parallel({"a": slow, "b": broken}).rescue((ValueError, mend)),
    "each": sequencer("plan", input=int).map(lambda n: [n] * 4).for_each(slow, max_concurrency=3),
    "loops": sequencer("plan").do_while(slow, decide, name="loop").step(slow).loop_back("slow", decide),
    "aside": sequencer("plan").side_chain(slow).step(slow).side_chain(slow).join().side_chain(slow),
    "timed join": sequencer("plan").side_chain(slow).join(timeout=60).tap(slow),
    "states": sequencer("plan", state=Counted).parallel({"a": counts, "b": counts}).map(len).step(counts),
    "router": router("way", {"in": sequencer("plan").step(slow).step(slow)}, choose=chosen),
    "rescued": sequencer("plan").step(broken).rescue((ValueError, mend)).step(slow),
    "hidden": sequencer("plan").step(hides_its_cancellation).rescue((Exception, mend)).step(slow),
    "hidden beside": sequencer("plan")
    .parallel({"a": hides_its_cancellation, "b": hides_its_cancellation})
    .rescue((Exception, mend)),
}


async def ticks(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def cancelled_after(turns: int, plan: Block[int, Any]) -> bool:
    """Whether it ended before; ``turns`` of the loop after it began it is cancelled."""
    run = EventsOnly()
    task = asyncio.create_task(executed(plan, 1, run))
    await ticks(turns)
    if task.done():
        await task
        return True
    run.ending = True
    task.cancel()
    await asyncio.wait((task,))
    told = list(run.events)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    await ticks(20)
    assert not left, "it left tasks behind"
    assert run.events == told, "something was written afterwards"
    assert task.cancelled() or isinstance(task.exception(), ValueError)
    return False


@pytest.mark.parametrize("name", PLANS)
async def test_nothing_goes_on(name: str) -> None:
    turns = 0
    while not await cancelled_after(turns, PLANS[name]):
        turns += 1
    assert 3 < turns < MOST_TURNS


async def test_a_cancellation_that_a_block_makes_an_error_of_is_not_rescued() -> None:
    for name in ("hidden", "hidden beside"):
        run = EventsOnly()
        task = asyncio.create_task(executed(PLANS[name], 1, run))
        await ticks(2)
        run.ending = True
        task.cancel()
        with pytest.raises((ValueError, asyncio.CancelledError)):
            await task
        assert "plan/mend" not in run.handlers


async def test_who_is_cancelled_twice_still_waits() -> None:
    ended: list[str] = []

    @handler
    async def stubborn(value: int, ctx: Context) -> int:
        try:
            await asyncio.sleep(60)
        finally:
            await ticks(10)
            ended.append("stubborn")
        return value

    plan = sequencer("plan").parallel({"a": stubborn, "b": stubborn})
    task = asyncio.create_task(executed(plan, 1))
    await ticks(5)
    task.cancel()
    await ticks(3)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}
