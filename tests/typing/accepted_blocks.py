"""What the type checker has to accept of sequencers, routers and states of blocks, with the types it has to see."""

from __future__ import annotations

from typing import Any, assert_type

from pydantic import BaseModel

from flowstate_server.flows import (
    ActionError,
    Context,
    ReadingContext,
    Rescued,
    Router,
    ScopeHandle,
    ScopeReading,
    Sequencer,
    SessionIdentity,
    StateWrite,
    handler,
    router,
    sequencer,
)


class Ask(BaseModel):
    text: str
    tries: int = 0


class Counted(BaseModel):
    count: int = 0


class Found(BaseModel):
    hits: list[str] = []


@handler(state=Found, parent_state=Counted, sequencer_state=Counted, targets={"search": Found})
async def search(ask: Ask, ctx: Context) -> str:
    assert_type(ctx.block_state(Found), ScopeHandle[Found])
    assert_type(ctx.block_state(Found).state.hits, list[str])
    assert_type(ctx.parent_state(Counted).state.count, int)
    assert_type(await ctx.sequencer_state(Counted).inc_state(count=1), StateWrite)
    assert_type(ctx.target("search", Found), ScopeReading[Found] | None)
    await ctx.parent_state(Counted).atomic_state(lambda state: {"count": state.count + 1})
    async with ctx.block_state(Found).batch() as batch:
        batch.push_state("hits", ask.text)
    return ask.text


@handler
async def refine(ask: Ask, ctx: Context) -> Ask:
    return ask


@handler
async def length(text: str, ctx: Context) -> int:
    return len(text)


@handler
async def total(values: list[int], ctx: Context) -> int:
    return sum(values)


@handler
async def audit(value: object, ctx: Context) -> None: ...


@handler
async def mend(rescued: Rescued[Any], ctx: Context) -> str:
    assert_type(rescued.error, Exception)
    return str(rescued.value)


@handler
async def mend_ask(rescued: Rescued[Ask], ctx: Context) -> int:
    return rescued.value.tries


def often(ask: Ask, ctx: ReadingContext[Counted]) -> bool:
    assert_type(ctx.session.state.count, int)
    assert_type(ctx.session.identity, SessionIdentity)
    assert_type(ctx.user.state, Any)
    return ask.tries > ctx.session.state.count


async def later(ask: Ask, ctx: ReadingContext) -> bool:
    return bool(await ctx.session.items.history()) and ctx.dependency(str) == ask.text


async def looked_up(text: str) -> int:
    return len(text)


asked = sequencer("plan").step(refine)
assert_type(asked, Sequencer[Ask, Ask])
assert_type(asked.tap(audit).tap_if(often, audit).side_chain(search).join(), Sequencer[Ask, Ask])
assert_type(asked.step_if(later, search), Sequencer[Ask, Ask | str])
assert_type(asked.step_if(often, refine), Sequencer[Ask, Ask])
assert_type(asked.map(lambda ask: ask.text), Sequencer[Ask, str])
assert_type(asked.step(search).map(looked_up), Sequencer[Ask, int])
assert_type(asked.step(search).map(str.split).map(len), Sequencer[Ask, int])
assert_type(asked.parallel({"a": search, "b": search}), Sequencer[Ask, dict[str, str]])
assert_type(asked.step(search).map(str.split).for_each(length).step(total), Sequencer[Ask, int])
assert_type(sequencer("each").for_each(length, max_concurrency=4), Sequencer[list[str], list[int]])
assert_type(asked.branch((often, refine), (later, refine)), Sequencer[Ask, Ask])
assert_type(asked.branch((often, search), otherwise=search), Sequencer[Ask, str])
assert_type(asked.branch((lambda ask, ctx: ask.tries > 1, search)), Sequencer[Ask, Ask | str])
assert_type(
    asked.do_while(refine, often).do_until(refine, lambda ask, ctx: ask.tries > 3), Sequencer[Ask, Ask]
)
assert_type(asked.loop_back("refine", often).exit_if(later), Sequencer[Ask, Ask])
assert_type(asked.throw_if(often, ActionError("NO", "no")), Sequencer[Ask, Ask])
assert_type(asked.throw_if(often, lambda ask: ActionError("NO", ask.text)), Sequencer[Ask, Ask])
assert_type(asked.step(search).rescue((ValueError, mend), ("NO", mend)), Sequencer[Ask, str])
assert_type(asked.step(search).rescue((ValueError, mend_ask)), Sequencer[Ask, str | int])
assert_type(sequencer("plan").step_if(often, refine), Sequencer[Ask, Ask])
assert_type(sequencer("plan").do_until(refine, often), Sequencer[Ask, Ask])
assert_type(sequencer("plan").branch((often, search)), Sequencer[Ask, Ask | str])
assert_type(sequencer("plan").branch((often, search), (later, search), otherwise=search), Sequencer[Ask, str])
assert_type(sequencer("plan").parallel({"a": search, "b": search}), Sequencer[Ask, dict[str, str]])
assert_type(sequencer("plan", input=Ask, state=Counted).exit_if(often).step(search), Sequencer[Ask, str])
assert_type(sequencer("plan", state=Counted).step(search), Sequencer[Ask, str])

asked.parallel({"a": search, "b": refine, "c": audit})


def route(ask: Ask, ctx: ReadingContext[Counted]) -> str:
    found = ctx.target("search", Found)
    return "search" if found is None or ctx.block_state(Counted).state.count else "again"


chosen = router("way", {"search": search, "again": search}, choose=route, state=Counted)
assert_type(chosen, Router[Ask, str])
assert_type(asked.step(chosen).step(length), Sequencer[Ask, int])
