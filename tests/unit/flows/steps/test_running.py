"""How each step runs: what it is given, what it leaves, what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from pydantic import BaseModel

from flowstate_server.flows import (
    ActionError,
    Context,
    ReadingContext,
    handler,
    resource,
    resources,
    sequencer,
)
from flowstate_server.model.events import Event, EventType
from tests.unit.flows.steps.local_run import EventsOnly, executed
from tests.unit.flows.steps.plain_blocks import Counted, count, double, fail, forever, run_of, value_of

plan = resource("plan")
plans = resources("plans/*")


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
