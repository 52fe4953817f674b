"""Fields that handlers name in operations on resources are checked when the block is built, as those of scopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows import Context, handler, resource, resources


class Plan(BaseModel):
    title: str = ""
    legs: list[str] = []
    days: int = 0


plan = resource("plan", state=Plan)
plans = resources("plans/*", state=Plan)
bare = resource("bare")
any_plan: Any = plan
any_plans: Any = plans
Function = Callable[[None, Any], Any]


def built(function: Function) -> object:
    return handler(name="open", resources=[plan, plans, bare])(function)


async def patched(_: None, ctx: Context) -> None:
    await ctx.resource(any_plan).patch_state(titel="a")


async def by_a_name(_: None, ctx: Context) -> None:
    it = ctx.resource(any_plan)
    await it.patch_state({"days": 1, "titel": "a"})


async def at_a_version(_: None, ctx: Context) -> None:
    await ctx.resource(any_plan).at(3).set_state({"titel": "a"})


async def in_a_batch(_: None, ctx: Context) -> None:
    it = ctx.resource(any_plan)
    async with it.batch() as batch:
        batch.inc_state(days=1)
        batch.patch_state(titel="a")


async def swapped(_: None, ctx: Context) -> None:
    await ctx.resource(any_plan).atomic_state(lambda state: {"titel": "a"})


async def of_a_collection(_: None, ctx: Context) -> None:
    one = await ctx.resource(any_plans).get_or_create("plans/a")
    await one.patch_state(titel="a")


async def of_a_named_collection(_: None, ctx: Context) -> None:
    them = ctx.resource(any_plans)
    await (await them.get("plans/a")).patch_state(titel="a")


@pytest.mark.parametrize(
    "function",
    [patched, by_a_name, at_a_version, in_a_batch, swapped, of_a_collection, of_a_named_collection],
    ids=lambda function: function.__name__,
)
def test_an_unknown_field_is_told_with_its_line(function: Any) -> None:
    with pytest.raises(FlowDefinitionError) as refused:
        built(function)
    with open(__file__, encoding="utf-8") as file:
        lines = file.read().splitlines()
    first = function.__code__.co_firstlineno
    line = next(at for at, text in enumerate(lines, 1) if at >= first and "titel" in text)
    text = str(refused.value)
    assert f'handler "open", {__file__}:{line}: ctx.resource(plan' in text
    assert 'names "titel", but Plan has no such field; did you mean "title"?' in text


def test_a_resource_of_a_closure_is_looked_at() -> None:
    mine: Any = plan

    async def act(_: None, ctx: Context) -> None:
        await ctx.resource(mine).patch_state(titel="a")

    with pytest.raises(FlowDefinitionError, match=r"ctx\.resource\(plan\)\.patch_state names"):
        built(act)


def test_a_field_of_another_type_is_refused() -> None:
    async def act(_: None, ctx: Context) -> None:
        await ctx.resource(any_plan).inc_state(legs=1)

    with pytest.raises(FlowDefinitionError, match='needs a number, but "legs" of Plan is list'):
        built(act)


def test_a_resource_without_a_state_has_no_field() -> None:
    async def act(_: None, ctx: Context) -> None:
        await ctx.resource(bare).patch_state(title="a")

    with pytest.raises(
        FlowDefinitionError, match='names "title", but the resource is declared without a state'
    ):
        built(act)


async def what_there_is(_: None, ctx: Context) -> None:
    it = ctx.resource(plan)
    await it.patch_state(title="a")
    await it.inc_state(days=1)
    await it.push_state("legs", "a")
    them = ctx.resource(plans)
    found = await them.get_or_none("plans/titel")
    assert found is None or found.get("title") == ""
    assert (await ctx.resource(plans).get("plans/titel")).exists
    await (await them.create("plans/a")).patch_state(title="a")


async def another_one(_: None, ctx: Context) -> None:
    any_plan = make_another(ctx)
    await ctx.resource(any_plan).patch_state(titel="a")


async def one_of_two(_: None, ctx: Context) -> None:
    it: Any = ctx.resource(plan)
    it = make_another(it)
    await it.patch_state(titel="a")


async def one_that_is_given(_: None, ctx: Context) -> None:
    async def change(any_plan: Any) -> None:
        await ctx.resource(any_plan).patch_state(titel="a")

    await change(make_another(ctx))


async def nobodys(_: None, ctx: Context) -> None:
    await ctx.resource(make_another).patch_state(titel="a")
    them = make_another(ctx)
    await (await them.get("plans/a")).patch_state(titel="a")
    await (await ctx.resource(any_plans).list())[0].patch_state(titel="a")


make_another: Any = None


@pytest.mark.parametrize(
    "function",
    [what_there_is, another_one, one_of_two, one_that_is_given, nobodys],
    ids=lambda function: function.__name__,
)
def test_no_false_alarm(function: Function) -> None:
    assert built(function)


def test_a_resource_that_is_declared_later_is_left_alone() -> None:
    async def act(_: None, ctx: Context) -> None:
        await ctx.resource(later).patch_state(titel="a")

    assert built(act)
    later: Any = plan
    assert later is plan
