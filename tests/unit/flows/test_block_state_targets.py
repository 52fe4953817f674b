"""States of other blocks, which a block names as its targets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowstate_server.errors import (
    AmbiguousBlockNameError,
    BlockStateUnavailableError,
    FlowDefinitionError,
)
from flowstate_server.flows import (
    Context,
    action,
    define_flow,
    handler,
    sequencer,
)
from flowstate_server.testing import run_flow
from tests.unit.flows.stateful_blocks import Found, hits_of, look, run_of, search


async def test_a_target_is_the_latest_that_has_ended_beside_it() -> None:
    assert (await run_of(sequencer("plan").step(search).step(look), 4)).output == 4
    assert (await run_of(sequencer("plan").step(search).step(search).step(look), 4)).output == 5
    looped = sequencer("plan").step(search).tap(look).loop_back("search", lambda v, c: v < 9).step(look)
    assert (await run_of(looped, 4)).output == 8
    assert (await run_of(sequencer("plan").tap(look).step(search), 4)).output == 5


async def test_a_target_that_is_not_there_is_none() -> None:
    elsewhere = sequencer("elsewhere").step(search)
    sometimes = sequencer("plan", input=int).step_if(lambda v, c: v > 5, search).step(look)
    assert (await run_of(sometimes, 4)).output is None
    assert (await run_of(sometimes, 6)).output == 6
    flow = define_flow(
        "test",
        actions={
            "met": action(block=sequencer("met").step(search).step(look)),
            "not": action(block=sequencer("not").step(elsewhere).step(look)),
        },
    )
    assert (await run_flow(flow, "not", 1)).output is None


async def test_a_target_may_be_around_it_and_is_matched_without_the_number() -> None:
    around = sequencer("search", input=int, state=Found)

    @handler(parent_state=Found)
    async def fill(value: int, ctx: Context) -> int:
        await ctx.parent_state(Found).patch_state(hits=value)
        return value

    inner = around.step(fill).step(sequencer("in", input=object).step(look))
    run = await run_of(sequencer("plan", input=int).tap(inner).map(lambda value: 9).step(inner), 4)
    assert run.output == 9
    assert ("plan", "search#2", "in", "look") in [event.block_path for event in run.events]


async def test_two_of_a_name_around_it_are_ambiguous() -> None:
    inner = sequencer("search", input=object, state=Found).step(sequencer("in", input=object).step(look))
    outer = sequencer("search", input=object, state=Found).step(
        sequencer("between", input=object).step(inner)
    )
    run = await run_of(outer, 1, check=False)
    assert isinstance(run.exception, AmbiguousBlockNameError)
    assert str(run.exception).startswith('Several blocks around handler "look" are named "search"')


async def test_in_a_parallel_a_target_has_the_name_in_the_dict() -> None:
    @handler(targets={"left": Found, "right": Found})
    async def both(value: Any, ctx: Context) -> list[int | None]:
        return [hits_of(ctx.target(name, Found)) for name in ("left", "right")]

    plan = sequencer("plan", input=int).parallel({"left": search, "right": sequencer("in").step(search)})
    with pytest.raises(FlowDefinitionError, match='the target "right" with Found'):
        define_flow("test", actions={"go": action(block=plan.step(both))})
    plan = sequencer("plan", input=int).parallel({"left": search, "right": search})
    assert (await run_of(plan.step(both), 3)).output == [3, 3]


async def test_a_target_is_read_only_and_what_has_ended_is_not_written() -> None:
    kept: list[Any] = []

    @handler(state=Found)
    async def leaks(value: int, ctx: Context) -> int:
        await ctx.block_state(Found).patch_state(hits=1)
        kept.append(ctx.block_state(Found))
        return value

    @handler(targets={"leaks": Found})
    async def writes(value: int, ctx: Context) -> int:
        found = ctx.target("leaks", Found)
        assert found is not None
        assert not hasattr(found, "patch_state")
        assert (found.state.hits, found.version, found.get("hits")) == (1, 1, 1)
        with pytest.raises(BlockStateUnavailableError, match='handler "leaks" has ended'):
            await kept[0].inc_state(hits=1)
        return int(kept[0].state.hits)

    assert (await run_of(sequencer("plan").step(leaks).step(writes), 1)).output == 1


async def test_one_that_failed_is_a_target_and_one_that_was_cancelled_is_not() -> None:
    @handler(state=Found)
    async def fails(value: int, ctx: Context) -> int:
        await ctx.block_state(Found).patch_state(hits=value)
        await asyncio.sleep(0.01)
        raise ValueError

    @handler(state=Found)
    async def waits(value: int, ctx: Context) -> int:
        await asyncio.Event().wait()
        return value

    @handler(targets={"fails": Found, "waits": Found})
    async def mend(rescued: Any, ctx: Context) -> list[int | None]:
        return [hits_of(ctx.target("fails", Found)), hits_of(ctx.target("waits", Found))]

    plan = sequencer("plan", input=int).parallel({"fails": fails, "waits": waits}).rescue((ValueError, mend))
    assert (await run_of(plan, 7)).output == [7, None]
