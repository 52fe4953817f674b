"""What a rescue catches, what it is given, and what it leaves alone."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from flowstate_server.errors import LeaseLostError, RequestTerminalError
from flowstate_server.flows import (
    ActionError,
    Context,
    Rescued,
    action,
    define_flow,
    handler,
    sequencer,
)
from flowstate_server.model.events import EventType
from flowstate_server.testing import run_flow
from tests.unit.flows.steps.local_run import EventsOnly, executed
from tests.unit.flows.steps.plain_blocks import double, fail, forever, run_of, value_of


async def test_a_rescue_goes_by_the_first_match_and_gets_the_value_of_the_failed_step() -> None:
    plan = sequencer("plan").step(double).step(fail).step(double)
    rescued = plan.rescue((KeyError, value_of), ("FAILED", value_of), (Exception, value_of))
    run = EventsOnly()
    assert await executed(rescued, 4, run) == ["ActionError", 8]
    assert run.handlers == ["plan/double", "plan/fail", "plan/value_of"]
    assert run.failed == ["plan/fail"], "once, although it is rescued"
    assert run.outcomes[-1] == ("plan", "completed")
    with pytest.raises(ActionError):
        await executed(plan.rescue((KeyError, value_of), ("OTHER", value_of)), 4)
    run = EventsOnly()
    assert await executed(sequencer("plan").step(double).rescue((Exception, value_of)), 4, run) == 8
    assert run.handlers == ["plan/double"]


async def test_a_later_rescue_has_what_an_earlier_one_failed_by() -> None:
    @handler
    async def worse(rescued: Rescued[Any], ctx: Context) -> Any:
        raise ValueError from rescued.error

    @handler
    async def again(rescued: Rescued[Any], ctx: Context) -> Any:
        raise rescued.error

    plan: Any = sequencer("plan").step(fail).rescue(("FAILED", worse)).rescue((ValueError, value_of))
    run = EventsOnly()
    assert await executed(plan, 4, run) == ["ValueError", 4]
    assert run.failed == ["plan/fail", "plan/worse"]
    run = EventsOnly()
    with pytest.raises(ActionError):
        await executed(sequencer("plan").step(fail).rescue(("FAILED", again)), 4, run)
    assert run.failed == ["plan/fail", "plan/again"]


async def test_a_group_is_rescued_as_the_one_error_in_it() -> None:
    @handler
    async def several(value: int, ctx: Context) -> int:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.execute(fail, 1))
            group.create_task(ctx.execute(fail, 2))
        return 0

    plan = sequencer("plan").step(several).rescue(("FAILED", value_of))
    assert await executed(plan, 4) == ["ActionError", 4]


@pytest.mark.parametrize("error", [LeaseLostError(), RequestTerminalError("r")])
async def test_what_ends_the_run_is_not_rescued(error: Exception) -> None:
    @handler
    async def ended(value: int, ctx: Context) -> int:
        await asyncio.sleep(0)
        raise error

    for plan in (
        sequencer("plan").step(ended).rescue((Exception, value_of)),
        sequencer("plan").parallel({"a": forever, "b": ended}).rescue((Exception, value_of)),
        sequencer("plan").side_chain(ended).step(double),
    ):
        with pytest.raises(type(error)):
            await executed(plan, 1)


async def test_what_is_rescued_is_told_to_the_trusted_plane_once_in_a_run_that_completes() -> None:
    ran = await run_of(sequencer("plan").step(fail).rescue(("FAILED", value_of)), 3)
    assert ran.output == ["ActionError", 3]
    assert [event.block_path for event in ran.events if event.type is EventType.BLOCK_FAILED] == [
        ("plan", "fail")
    ]


async def test_the_time_limit_of_an_action_is_not_rescued() -> None:
    plan = sequencer("plan").step(forever).rescue((Exception, value_of))
    flow = define_flow("test", actions={"go": action(block=plan, timeout=0.05)})
    ran = await run_flow(flow, "go", 1, check=False)
    assert ran.failure is not None
    assert ran.failure.reason == "ACTION_TIMEOUT"


async def test_rescued_failures_are_not_kept() -> None:
    """Each would be kept with all its frames, for as long as the sequencer loops."""
    raised: list[weakref.ref[Exception]] = []

    class Boom(Exception):
        pass

    @handler
    async def explode(value: int, ctx: Context) -> int:
        boom = Boom()
        raised.append(weakref.ref(boom))
        raise boom

    @handler
    async def go_on(rescued: Rescued[int], ctx: Context) -> int:
        return rescued.value

    def kept(value: int) -> int:
        gc.collect()
        return sum(boom() is not None for boom in raised)

    loop = sequencer("plan", input=int).map(lambda n: n + 1, name="up").step(explode).rescue((Boom, go_on))
    run = EventsOnly()
    assert await executed(loop.loop_back("up", lambda value, ctx: value < 50).map(kept), 0, run) <= 2
    assert len(run.failed) == len(set(run.failed)) == 50


async def test_a_loop_that_a_failure_left_counts_anew() -> None:
    @handler
    async def fail_at_two(value: int, ctx: Context) -> int:
        if value % 10 == 2:
            raise ValueError
        return value

    @handler
    async def next_ten(rescued: Rescued[int], ctx: Context) -> int:
        return rescued.value + 8

    plan = sequencer("plan", input=int).map(lambda n: n + 1, name="up").step(fail_at_two)
    plan = plan.loop_back("up", lambda value, ctx: True, max_iterations=1).rescue((ValueError, next_ten))
    assert await executed(plan.loop_back("up", lambda value, ctx: value < 30), 0) == 30


async def test_a_cancellation_by_a_neighbour_is_not_rescued_whatever_a_block_makes_of_it() -> None:
    @handler
    async def hides(value: int, ctx: Context) -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("as if it had failed") from None
        return value

    @handler
    async def fail_later(value: int, ctx: Context) -> int:
        await asyncio.sleep(0.01)
        raise ActionError("FAILED", "later")

    hidden = sequencer("hidden").step(hides).rescue((ValueError, value_of))
    deep = sequencer("deep").parallel({"in": hidden, "waits": forever}).rescue((ValueError, value_of))
    for plan in (
        sequencer("plan").parallel({"hidden": deep, "fails": fail_later}),
        sequencer("plan").side_chain(deep).step(fail_later),
        sequencer("plan").side_chain(deep).join(timeout=0.01, fail_on_error=True),
    ):
        run = EventsOnly()
        with pytest.raises((ActionError, TimeoutError)):
            await executed(plan, 1, run)
        assert not [path for path in run.handlers if path.endswith("value_of")]
        assert [path for path in run.handlers if path.endswith("hides")], "it was running"
