"""State that lives as long as one execution of a block."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from flowstate_server.errors import (
    StateFieldAbsentError,
    StateTooLargeError,
    StateTypeConflictError,
    StateValidationError,
    VersionMismatchError,
)
from flowstate_server.flows import (
    Context,
    ReadingContext,
    StateWrite,
    handler,
    router,
    sequencer,
)
from flowstate_server.model.items import INTERNAL
from flowstate_server.model.scopes import ScopeKind
from tests.unit.flows.stateful_blocks import Found, Small, changes, once, run_of, search, up
from tests.unit.flows.steps.local_run import executed


class Notes(BaseModel):
    count: int = 0
    texts: list[str] = []
    by_key: dict[str, int] = {}
    name: str


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
