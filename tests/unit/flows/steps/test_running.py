"""How each step runs: what it is given, what it leaves, what is told of it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any, cast

import pytest
from pydantic import BaseModel

from flowstate_server.errors import LeaseLostError, RequestTerminalError
from flowstate_server.flows import (
    ActionError,
    Block,
    Context,
    ReadingContext,
    Rescued,
    action,
    define_flow,
    handler,
    resource,
    resources,
    sequencer,
)
from flowstate_server.model.events import Event, EventType
from flowstate_server.testing import FlowRun, run_flow
from tests.unit.flows.steps.local_run import EventsOnly, executed


class Counted(BaseModel):
    count: int = 0


plan = resource("plan")
plans = resources("plans/*")


@handler
async def double(value: int, ctx: Context) -> int:
    await asyncio.sleep(0)
    return value * 2


@handler
async def fail(value: int, ctx: Context) -> int:
    await asyncio.sleep(0)
    raise ActionError("FAILED", f"at {value}")


@handler
async def forever(value: int, ctx: Context) -> int:
    await asyncio.Event().wait()
    return value


@handler
async def value_of(rescued: Rescued[Any], ctx: Context) -> Any:
    return [type(rescued.error).__name__, rescued.value]


@handler(session_state=Counted)
async def count(value: int, ctx: Context[Counted]) -> int:
    await ctx.session.inc_state(count=1)
    return value


async def run_of(block: Block[Any, Any], value: Any, **options: Any) -> FlowRun:
    return await run_flow(define_flow("test", actions={"go": action(block=block)}), "go", value, **options)


async def test_elements_are_numbered_in_their_order_whoever_ends_first() -> None:
    @handler
    async def wait(value: int, ctx: Context) -> int:
        for _ in range(value * 3):
            await asyncio.sleep(0)
        await ctx.emit("done", value)
        return value

    run = EventsOnly()
    plan = sequencer("plan").for_each(wait, max_concurrency=None).for_each(wait, max_concurrency=2)
    assert await executed(plan, [3, 2, 0], run) == [3, 2, 0]
    done = [(event.block_path[-1], event.payload) for event in run.events if event.type is EventType.CUSTOM]
    assert {(path, payload[-2:-1]) for path, payload in done} == {
        ("wait", b"3"),
        ("wait#2", b"2"),
        ("wait#3", b"0"),
        ("wait#4", b"3"),
        ("wait#5", b"2"),
        ("wait#6", b"0"),
    }
    assert [path for path, _ in done][:3] == ["wait#3", "wait#2", "wait"]


async def test_no_more_run_at_the_same_time_than_may() -> None:
    running = most = 0

    @handler
    async def busy(value: int, ctx: Context) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return value

    for width, expected in ((1, 1), (3, 3), (None, 7)):
        most = 0
        each = sequencer("plan").for_each(busy, max_concurrency=width)
        assert await executed(each, list(range(7))) == list(range(7))
        assert most == expected
        most = 0
        beside = sequencer("plan").parallel({str(n): busy for n in range(7)}, max_concurrency=width)
        assert await executed(beside, 1) == {str(n): 1 for n in range(7)}
        assert most == expected


@pytest.mark.parametrize("value", ["text", b"text", {"a": 1}, 5, None, Counted()])
async def test_for_each_takes_nothing_but_elements(value: Any) -> None:
    begun: Any = sequencer("plan", input=object)
    plan = begun.map(lambda given: given).for_each(double)
    with pytest.raises(TypeError, match=r"for_each\(double\) needs a list of elements, and was given"):
        await executed(plan, value)


async def test_the_first_failure_of_a_parallel_cancels_the_others_and_nobody_begins_after_it() -> None:
    run = EventsOnly()
    plan = sequencer("plan").parallel({"a": forever, "b": fail, "c": double}, max_concurrency=2)
    with pytest.raises(ActionError, match="at 1"):
        await executed(plan, 1, run)
    assert run.outcomes == [("plan/b", "failed"), ("plan/a", "cancelled"), ("plan", "failed")]
    assert run.failed == ["plan/b"]


async def test_a_block_that_cancels_itself_ends_a_parallel() -> None:
    @handler
    async def gives_up(value: int, ctx: Context) -> int:
        raise asyncio.CancelledError

    for plan in (
        sequencer("plan").parallel({"a": forever, "b": gives_up}),
        sequencer("plan").side_chain(forever).step(gives_up),
    ):
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(executed(plan, 1), 10)


async def test_a_loop_has_a_bound_and_one_inside_another_counts_anew() -> None:
    def below(limit: int) -> Callable[[int, Any], bool]:
        return lambda value, ctx: value < limit

    assert await executed(sequencer("plan").do_while(double, below(100)), 1) == 128
    assert await executed(sequencer("plan").do_until(double, lambda value, ctx: value > 100), 1) == 128
    run = EventsOnly()
    with pytest.raises(ActionError) as failed:
        await executed(sequencer("plan").do_while(double, below(100), max_iterations=6), 1, run)
    assert failed.value.code == "LOOP_BOUND_EXCEEDED"
    assert "double" not in failed.value.message
    assert run.failed == ["plan"]
    assert run.handlers == ["plan/double", *(f"plan/double#{n}" for n in range(2, 7))]
    inner = sequencer("plan", input=int).map(lambda n: n + 1, name="up")
    inner = inner.loop_back("up", lambda value, ctx: value % 3 != 0, max_iterations=2)
    assert await executed(inner.loop_back("up", below(12), max_iterations=3), 0) == 12
    with pytest.raises(ActionError):
        await executed(inner.loop_back("up", below(13), max_iterations=3), 0)


async def test_what_is_thrown_is_a_new_error_each_time() -> None:
    class Special(ActionError):
        """{message}"""

        extra: int = 0

    given = Special("NO", "no", {"a": 1}, extra=7)
    plan = sequencer("plan", input=int).throw_if(lambda value, ctx: True, given)
    raised = []
    for _ in range(2):
        with pytest.raises(ActionError, match="no") as thrown:
            await executed(plan, 1)
        raised.append(thrown.value.__cause__)
    assert [type(error) for error in raised] == [Special, Special]
    assert len({id(given), *map(id, raised)}) == 3
    assert given.__traceback__ is None
    made = sequencer("plan", input=int).throw_if(
        lambda value, ctx: True, lambda value: ActionError("N", f"{value}")
    )
    with pytest.raises(ActionError, match="17"):
        await executed(made, 17)
    wrong: Any = sequencer("plan", input=int)
    with pytest.raises(TypeError, match="must be an ActionError, not ValueError"):
        await executed(wrong.throw_if(lambda value, ctx: True, lambda value: ValueError()), 1)


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


@pytest.mark.parametrize("exit_", [SystemExit, KeyboardInterrupt])
async def test_a_function_that_exits_fails_its_sequencer_and_nothing_else(exit_: type[BaseException]) -> None:
    def leave(*_: Any) -> bool:
        raise exit_

    async def leave_later(*_: Any) -> bool:
        await asyncio.sleep(0)
        raise exit_

    for function in (leave, leave_later):
        started: Any = sequencer("plan").step(double)
        for plan in (
            started.map(function),
            started.exit_if(function),
            started.parallel({"a": sequencer("in", input=int).map(function), "b": forever}),
        ):
            with pytest.raises(RuntimeError, match=exit_.__name__):
                await executed(plan, 1)
        assert await executed(started.map(function).rescue((RuntimeError, value_of)), 1) == [
            "RuntimeError",
            2,
        ]


async def test_side_chains_are_awaited_at_the_end_and_their_failures_go_no_further() -> None:
    run = EventsOnly()
    plan = (
        sequencer("plan").side_chain(fail).side_chain(double).exit_if(lambda value, ctx: True).step(forever)
    )
    assert await executed(plan, 3, run) == 3
    assert run.failed == ["plan/fail"]
    assert sorted(run.outcomes) == [
        ("plan", "completed"),
        ("plan/double", "completed"),
        ("plan/fail", "failed"),
    ]


async def test_a_join_fails_as_the_first_side_chain_if_it_is_to() -> None:
    plan = sequencer("plan").side_chain(double).side_chain(fail).join(fail_on_error=True)
    run = EventsOnly()
    with pytest.raises(ActionError, match="at 3"):
        await executed(plan.step(double), 3, run)
    assert run.failed == ["plan/fail"], "told once"
    assert await executed(plan.rescue(("FAILED", value_of)), 3) == ["ActionError", 3]


async def test_a_join_cancels_what_takes_too_long() -> None:
    plan = sequencer("plan").side_chain(forever).side_chain(double)
    run = EventsOnly()
    assert await executed(plan.join(timeout=0.01).step(double), 3, run) == 6
    assert ("plan/forever", "cancelled") in run.outcomes
    late: Any = plan.join(timeout=0.01, fail_on_error=True)
    with pytest.raises(TimeoutError, match=r"^1 side chain was not done after 0\.01 s"):
        await executed(late, 3)
    assert await executed(late.rescue((TimeoutError, value_of)), 3) == ["TimeoutError", 3]


async def test_side_chains_end_with_a_sequencer_that_fails() -> None:
    run = EventsOnly()
    with pytest.raises(ActionError):
        await executed(sequencer("plan").side_chain(forever).step(fail), 1, run)
    assert ("plan/forever", "cancelled") in run.outcomes
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_it_gives_is_checked_on_every_way_out() -> None:
    @handler
    async def text(value: Any, ctx: Context) -> str:
        return "text"

    class Told(BaseModel):
        text: str

    @handler
    async def tell(value: str, ctx: Context) -> Told:
        return Told(text=value)

    def told(value: Any) -> Any:
        return {"text": value}

    fits: Any = sequencer("plan", input=object).step(text).map(told)
    assert await executed(fits.exit_if(lambda value, ctx: True).map(lambda value: "x").step(tell), 1) == Told(
        text="text"
    )
    wrong: Any = sequencer("plan", input=object).map(lambda value: 5)
    with pytest.raises(TypeError, match='sequencer "plan" did not end with what it gives'):
        await executed(wrong.exit_if(lambda value, ctx: True).map(str).step(tell), 1)


async def test_functions_read_the_request_and_can_not_write() -> None:
    seen: list[Any] = []

    async def look(value: int, ctx: ReadingContext[Counted]) -> bool:
        seen.append((ctx.session.state.count, ctx.session.get("count"), ctx.session.version, ctx.session.id))
        seen.append((ctx.session.identity.user_id, ctx.org, ctx.user.version, ctx.request.version))
        seen.append((ctx.request_id, ctx.dependency(str), ctx.session.metadata.title))
        seen.append(await ctx.session.items.all())
        writing = (
            "patch_state",
            "inc_state",
            "write",
            "batch",
            "at",
            "atomic_state",
            "set_metadata",
            "execute",
            "emit",
        )
        assert not any(hasattr(ctx, name) or hasattr(ctx.session, name) for name in writing)
        assert not isinstance(ctx, Context)
        return ctx.session.state.count < 3

    ran = await run_of(sequencer("plan").step(count).loop_back("count", look), 5, dependencies="given")
    assert (ran.output, ran.session.state.count) == (5, 3)
    assert [one for one in seen if isinstance(one, tuple)][:3] == [
        (1, 1, 1, ran.session_id),
        ("user", None, 0, 0),
        (ran.request_id, "given", ""),
    ]


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda ctx: ctx.session.inc_state(count=1), "inc_state"),
        (lambda ctx: ctx.session.set_metadata(title="t"), "set_metadata"),
        (lambda ctx: ctx.user.patch_state(count=1), "patch_state"),
        (lambda ctx: ctx.emit("late"), "emit"),
        (lambda ctx: ctx.resource(plan).write("text"), "write"),
        (lambda ctx: ctx.resource(plans).create("plans/a"), "create"),
    ],
)
async def test_a_function_that_writes_is_told_that_it_reads(write: Callable[[Any], Any], name: str) -> None:
    steps = sequencer("plan", resources=[plan, plans]).step(double).exit_if(lambda value, ctx: write(ctx))
    ran = await run_of(steps, 1, check=False)
    told = f"there is no {name} here, where state is only for reading: do it in a handler"
    assert str(ran.exception) == told


async def test_what_there_is_nowhere_is_no_attribute() -> None:
    ran = await run_of(
        sequencer("plan").step(double).exit_if(lambda value, ctx: cast(Any, ctx).session.inc_stat),
        1,
        check=False,
    )
    assert str(ran.exception) == "'_ReadSession' object has no attribute 'inc_stat'"


@pytest.mark.parametrize(("value", "output"), [(1, 2), (5, 5)])
async def test_a_branch_may_be_first(value: int, output: int) -> None:
    small = sequencer("plan").branch((lambda value, ctx: value < 3, double))
    assert (await run_of(small, value)).output == output


async def test_a_function_that_forgets_to_await_fails_its_sequencer() -> None:
    def forgets(value: int, ctx: ReadingContext) -> bool:
        ctx.session.items.all()  # type: ignore[unused-coroutine]
        return True

    ran = await run_of(sequencer("plan").step(double).exit_if(forgets), 1, check=False)
    assert "never awaited ctx.session.items.all(...)" in str(ran.exception)


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


async def test_blocks_that_do_nothing_wait_for_the_store_and_let_others_run() -> None:
    waits = 0

    class Crowded(EventsOnly):
        def hold(self, event: Event) -> bool:
            super().hold(event)
            return len(self.events) % 10 == 0

        async def room(self) -> None:
            nonlocal waits
            waits += 1
            await asyncio.sleep(0)

    @handler
    async def nothing(value: int, ctx: Context) -> int:
        return value

    await executed(sequencer("plan").for_each(nothing), list(range(100)), Crowded())
    assert waits > 5
