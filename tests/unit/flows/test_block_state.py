"""State that lives as long as one execution of a block."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any, cast
from uuid import UUID, uuid4

import pytest
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from flowstate_server.errors import (
    AmbiguousBlockNameError,
    BlockStateUnavailableError,
    FlowDefinitionError,
    StateFieldAbsentError,
    StateTooLargeError,
    StateTypeConflictError,
    StateValidationError,
    VersionMismatchError,
)
from flowstate_server.flows import (
    Block,
    Context,
    ReadingContext,
    ScopeReading,
    StateWrite,
    action,
    define_flow,
    handler,
    router,
    sequencer,
)
from flowstate_server.model.events import EventType
from flowstate_server.model.items import INTERNAL
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.testing import FlowRun, run_flow
from tests.unit.flows.steps.local_run import executed


class Notes(BaseModel):
    count: int = 0
    texts: list[str] = []
    by_key: dict[str, int] = {}
    name: str


class Small(BaseModel):
    count: int = 0


class Other(BaseModel):
    count: int = 0


async def run_of(block: Block[Any, Any], value: Any = None, **options: Any) -> FlowRun:
    return await run_flow(define_flow("test", actions={"go": action(block=block)}), "go", value, **options)


def changes(run: FlowRun) -> list[Any]:
    return [event for event in run.events if event.type is EventType.STATE_CHANGE]


async def test_has_the_operations_of_a_scope() -> None:
    @handler(state=Notes)
    async def note(_: None, ctx: Context) -> None:
        state = ctx.block_state(Notes)
        assert (state.version, state.state.count, state.get("name")) == (0, 0, None)
        with pytest.raises(StateFieldAbsentError):
            assert state.state.name
        assert await state.patch_state(name="n") == StateWrite(1, changed=True)
        assert await state.patch_state(name="n") == StateWrite(1, changed=False)
        await state.inc_state(count=2)
        await state.push_state("texts", "a", "b")
        await state.set_state_record("by_key", "k", 1)
        assert state.state.by_key == {"k": 1}
        await state.delete_state_record("by_key", "k")
        await state.atomic_state(lambda now: {"count": now.count + 1})
        await state.atomic_state(lambda now: now.model_copy(update={"texts": [*now.texts, "c"]}))
        async with state.batch() as batch:
            batch.inc_state(count=10)
            batch.push_state("texts", "d")
        assert batch.result == StateWrite(8, changed=True)
        assert (state.state.count, state.state.texts) == (13, ["a", "b", "c", "d"])
        with pytest.raises(VersionMismatchError) as late:
            await state.at(3).inc_state(count=1)
        assert (late.value.scope, late.value.current) == ("block", 8)
        assert (await state.at(8).unset_state("texts")).version == 9
        await state.set_state({"name": "new"})
        await state.refresh()
        assert (state.state.name, state.state.count, state.version) == ("new", 0, 10)

    run = await run_of(note)
    told = changes(run)
    assert [event.payload.version for event in told] == list(range(1, 11))
    assert {(event.audiences, event.record.event.transient) for event in told} == {(INTERNAL, True)}
    assert {event.payload.scope for event in told} == {ScopeKind.BLOCK}
    assert dict(told[0].payload.changed) == {"/name": "n"}
    assert (run.session.version, run.request.version) == (0, 0)


async def test_is_validated_and_a_refused_write_changes_nothing() -> None:
    class Strict(BaseModel):
        word: Annotated[str, StringConstraints(min_length=2, to_lower=True)] = "ab"
        count: int = 0

    @handler(state=Strict)
    async def write(_: None, ctx: Context) -> None:
        state = ctx.block_state(Strict)
        untyped: Any = state
        for refused in (
            state.patch_state(word="A"),
            untyped.patch_state(nothing=1),
            untyped.inc_state(word=1),
            state.patch_state(count=1, word=""),
        ):
            with pytest.raises((StateValidationError, StateTypeConflictError)) as error:
                await refused
            assert "block" in str(error.value) or "/word" in str(error.value)
        with pytest.raises(StateTooLargeError):
            await state.patch_state(word="x" * (1024 * 1024))
        assert (state.version, state.state.word) == (0, "ab")
        await state.patch_state(word="CD")
        assert state.state.word == "cd"
        with pytest.raises(AttributeError, match=r"ctx.block_state\(...\).inc_state\(count=...\)"):
            state.state.count = 5
        with pytest.raises(AttributeError, match=r"ctx.block_state\(Strict\).state is read-only"):
            state.state = Strict()  # type: ignore[misc]

    assert len(changes(await run_of(write))) == 1


async def test_slow_validators_keep_the_order_of_writes_and_nobody_else() -> None:
    def slowly(texts: list[str]) -> list[str]:
        time.sleep(0.01)
        return texts

    class Slow(BaseModel):
        texts: Annotated[list[str], AfterValidator(slowly)] = []
        count: int = 0

    @handler(state=Slow)
    async def write(_: None, ctx: Context) -> list[str]:
        state = ctx.block_state(Slow)
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(state.push_state("texts", str(number)))
                group.create_task(state.inc_state(count=1))
        return [*state.state.texts, str(state.state.count)]

    assert (await run_of(write)).output == ["0", "1", "2", "3", "4", "5"]


async def test_a_hundred_parallel_increments_through_the_parent() -> None:
    @handler(parent_state=Small, sequencer_state=Small)
    async def add(number: int, ctx: Context) -> None:
        state = ctx.parent_state(Small) if number % 2 else ctx.sequencer_state(Small)
        if number % 3:
            await state.inc_state(count=1)
        else:
            await state.atomic_state(lambda now: {"count": now.count + 1})

    @handler(parent_state=Small)
    async def read(_: Any, ctx: Context) -> int:
        return ctx.parent_state(Small).state.count

    plan = sequencer("plan", input=int, state=Small).map(range).map(list)
    run = await run_of(plan.for_each(add, max_concurrency=None).step(read), 100)
    assert run.output == 100
    told = changes(run)
    assert [event.payload.version for event in told] == list(range(1, 101))
    assert {tuple(event.payload.owner_path) for event in told} == {("plan",)}
    assert len({event.block_path for event in told}) == 100


@handler(state=Small)
async def once(value: Any, ctx: Context) -> int:
    """How often this execution has been here: once."""
    await ctx.block_state(Small).inc_state(count=1)
    return ctx.block_state(Small).state.count


@handler(parent_state=Small)
async def up(value: Any, ctx: Context) -> int:
    await ctx.parent_state(Small).inc_state(count=1)
    return ctx.parent_state(Small).state.count


def few(value: Any, ctx: ReadingContext) -> bool:
    return ctx.block_state(Small).state.count < 3


@pytest.mark.parametrize(
    ("plan", "output"),
    [
        (sequencer("plan").step(once).step(once), 1),
        (sequencer("plan").parallel({"a": once, "b": once}), {"a": 1, "b": 1}),
        (sequencer("plan", input=object).map(lambda _: [1, 2]).for_each(once, max_concurrency=2), [1, 1]),
        (sequencer("plan", state=Small).tap(up).step(once).loop_back("once", lambda v, c: False), 1),
        (sequencer("plan", state=Small).do_while(up, few), 3),
        (sequencer("plan", state=Small).step(up).loop_back("up", few), 3),
        (
            sequencer("outer")
            .do_until(sequencer("in", state=Small, input=object).step(up), lambda v, c: True)
            .step(sequencer("again", state=Small, input=object).step(up)),
            1,
        ),
        (router("way", {"a": up}, choose=lambda v, c: "a", state=Small, input=object), 1),
        (sequencer("plan", input=object, state=Small).branch((lambda v, c: True, up)).step(up), 2),
    ],
)
async def test_is_fresh_for_each_execution_and_kept_by_the_owner_of_a_loop(plan: Any, output: Any) -> None:
    assert (await run_of(plan)).output == output
    assert (await run_of(plan)).output == output, "and for each run"


async def test_the_nearest_sequencer_that_has_one_counts() -> None:
    @handler(sequencer_state=Small)
    async def deep(value: Any, ctx: Context) -> int:
        await ctx.sequencer_state(Small).inc_state(count=1)
        return ctx.sequencer_state(Small).state.count

    inner = sequencer("inner").step(router("way", {"deep": deep}, choose=lambda v, c: "deep"))
    outer = sequencer("outer", state=Small, input=object).step(inner).step(inner)
    run = await run_of(outer)
    assert run.output == 2
    assert [tuple(event.payload.owner_path) for event in changes(run)] == [("outer",), ("outer",)]
    assert [event.block_path for event in changes(run)][1] == ("outer", "inner#2", "way", "deep")


class Found(BaseModel):
    hits: int = 0


@handler(state=Found)
async def search(hits: int, ctx: Context) -> int:
    await ctx.block_state(Found).patch_state(hits=hits)
    return hits + 1


def hits_of(found: ScopeReading[Found] | None) -> int | None:
    return None if found is None else found.state.hits


@handler(targets={"search": Found})
async def look(value: Any, ctx: Context) -> int | None:
    return hits_of(ctx.target("search", Found))


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


async def test_functions_of_sequencers_and_routers_read_what_these_declare() -> None:
    def choose(value: Any, ctx: ReadingContext) -> str:
        found = ctx.target("search", Found)
        assert found is not None
        assert (ctx.parent_state(Small).state.count, ctx.sequencer_state(Small).version) == (0, 0)
        return "many" if found.state.hits > 5 else "few"

    @handler
    async def many(value: int, ctx: Context) -> str:
        return "many"

    @handler
    async def some(value: int, ctx: Context) -> str:
        return "few"

    way = router(
        "way",
        {"many": many, "few": some},
        choose=choose,
        targets={"search": Found},
        parent_state=Small,
        sequencer_state=Small,
    )
    plan = sequencer("plan", input=int, state=Small).step(search).step(way)
    assert [(await run_of(plan, hits)).output for hits in (2, 8)] == ["few", "many"]


async def test_values_that_a_factory_makes_are_made_for_each_execution() -> None:
    class Drawn(BaseModel):
        id: UUID = Field(default_factory=uuid4)

    @handler(state=Drawn)
    async def draw(_: Any, ctx: Context) -> str:
        state = ctx.block_state(Drawn)
        assert state.state.id == state.state.id
        await state.patch_state(id=state.state.id)
        assert state.version == 0
        return str(state.state.id)

    drawn = await executed(sequencer("plan").parallel({"a": draw, "b": draw}), None)
    assert len({*drawn.values()}) == 2


async def test_a_base_of_the_model_reads_and_writes_its_part() -> None:
    class More(Small):
        other: int = 1

    plan = sequencer("plan", state=More, input=object).step(up).step(up)
    assert (await run_of(plan)).output == 2


@pytest.mark.parametrize(
    ("asks", "problem"),
    [
        (lambda ctx: ctx.block_state(Small), 'handler "asks" does not declare state as Small'),
        (lambda ctx: ctx.parent_state(Other), 'handler "asks" does not declare parent_state as Other'),
        (lambda ctx: ctx.sequencer_state(Other), "does not declare sequencer_state as Other"),
        (lambda ctx: ctx.target("search", Small), 'does not declare targets\\["search"\\] as Small'),
        (lambda ctx: ctx.target("other", Found), 'does not declare targets\\["other"\\] as Found'),
        (lambda ctx: ctx.parent_state(Small), 'handler "asks" has no parent_state of Small at not/asks'),
        (lambda ctx: ctx.sequencer_state(Small), "has no sequencer_state of Small at not/asks"),
    ],
)
async def test_what_is_not_declared_or_not_there_is_named(
    asks: Callable[[Context], Any], problem: str
) -> None:
    async def ask(_: Any, ctx: Context) -> None:
        asks(ctx)

    asking = handler(name="asks", parent_state=Small, sequencer_state=Small, targets={"search": Found})(ask)
    flow = define_flow(
        "test",
        actions={
            "met": action(block=sequencer("met", input=int, state=Small).tap(search).tap(asking)),
            "not": action(block=sequencer("not").tap(asking)),
        },
    )
    run = await run_flow(flow, "not", check=False)
    assert isinstance(run.exception, BlockStateUnavailableError)
    with pytest.raises(BlockStateUnavailableError, match=problem):
        raise run.exception


def declares(**states: Any) -> Block[Any, Any]:
    async def block(_: Any, ctx: Context) -> None: ...

    return cast(Block[Any, Any], handler(name="block", **states)(block))


@pytest.mark.parametrize(
    ("root", "problem"),
    [
        (declares(parent_state=Small), "declares parent_state=Small, but no block that runs it"),
        (sequencer("plan").step(declares(parent_state=Small)), 'handler "block" declares parent_state=Small'),
        (sequencer("plan", state=Other).step(declares(parent_state=Small)), "declares parent_state=Small"),
        (
            sequencer("plan", state=Small).step(
                sequencer("in", state=Other).step(declares(sequencer_state=Small))
            ),
            "declares sequencer_state=Small, but no sequencer around it",
        ),
        (declares(sequencer_state=Small), "declares sequencer_state=Small"),
        (
            sequencer("plan").step(once).step(declares(targets={"twice": Small})),
            'declares the target "twice"',
        ),
        (
            sequencer("plan").step(once).step(declares(targets={"once": Other})),
            'the target "once" with Other',
        ),
        (
            sequencer("plan")
            .step(sequencer("in", input=object).step(once))
            .step(declares(targets={"once": Small})),
            'the target "once" with Small',
        ),
        (declares(uses=[up]), 'handler "up" declares parent_state=Small'),
    ],
)
def test_a_flow_refuses_what_no_place_in_it_can_meet(root: Any, problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=f'flow "test": .*{problem}'):
        define_flow("test", actions={"go": action(block=root)})


def test_one_place_that_meets_it_is_enough() -> None:
    define_flow(
        "test",
        actions={
            "without": action(block=sequencer("without").step(up)),
            "with": action(block=sequencer("with", state=Small).step(up)),
        },
    )
    deep: Any = sequencer("deep", input=object).step(declares(sequencer_state=Small, targets={"top": Small}))
    for number in range(30):  # each twice: a walk over all places would take for ever
        deep = sequencer(f"level {number}").step(deep).step(deep)
    define_flow("test", actions={"go": action(block=sequencer("top", state=Small, input=object).step(deep))})


@pytest.mark.parametrize(
    ("states", "problem"),
    [
        ({"state": int}, 'handler "block": state takes a pydantic model class, not'),
        ({"parent_state": Small()}, 'handler "block": parent_state takes a pydantic model class'),
        ({"targets": {"a": str}}, 'handler "block": targets\\["a"\\] takes a pydantic model class'),
        ({"targets": {"": Small}}, 'a target of handler "block" must not be empty'),
    ],
)
def test_refuses_what_is_no_model(states: Any, problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=problem):
        declares(**states)


def test_refuses_a_model_that_can_not_be_state_when_the_flow_is_built() -> None:
    class Odd(BaseModel):
        thing: Callable[[], int]

    with pytest.raises(FlowDefinitionError):
        define_flow("test", actions={"go": action(block=declares(state=Odd))})
