"""What the type checker has to refuse of sequencers, routers and states of blocks, as in ``refused.py``."""

from __future__ import annotations

from pydantic import BaseModel

from flowstate_server.flows import Context, ReadingContext, Rescued, handler, router, sequencer


class Ask(BaseModel):
    text: str
    tries: int = 0


class Counted(BaseModel):
    count: int = 0


@handler(state=Counted)
async def search(ask: Ask, ctx: Context) -> str:
    repr(ctx.block_state(Counted).state.counter)  # type: ignore[attr-defined]
    ctx.block_state(Counted).state = Counted()  # type: ignore[misc]
    repr(ctx.block_state(Ask).state.count)  # type: ignore[attr-defined]
    repr(ctx.target("search", Counted).state)  # type: ignore[union-attr]
    found = ctx.target("search", Counted)
    if found is not None:
        await found.inc_state(count=1)  # type: ignore[attr-defined]
    await ctx.block_state(Counted).inc_state(counter=1)  # type: ignore[flowstate-field]
    return ask.text


@handler
async def refine(ask: Ask, ctx: Context) -> Ask:
    return ask


@handler
async def length(text: str, ctx: Context) -> int:
    return len(text)


@handler
async def mend(rescued: Rescued[Ask], ctx: Context) -> str:
    return rescued.value.words  # type: ignore[attr-defined, no-any-return]


def of_text(text: str, ctx: ReadingContext) -> bool:
    return bool(text)


async def writes(ask: Ask, ctx: ReadingContext[Counted]) -> bool:
    await ctx.session.inc_state(count=1)  # type: ignore[attr-defined]
    await ctx.emit("never")  # type: ignore[attr-defined]
    return ctx.session.state.counter > 1  # type: ignore[attr-defined, no-any-return]


asked = sequencer("plan").step(refine)
asked.step_if(of_text, search)  # type: ignore[arg-type]
asked.tap_if(writes, length)  # type: ignore[arg-type]
asked.map(lambda ask: ask.words)  # type: ignore[attr-defined]
asked.for_each(refine)  # type: ignore[arg-type]
asked.parallel({"a": length})  # type: ignore[dict-item]
asked.branch((of_text, search))  # type: ignore[arg-type]
asked.do_while(search, writes)  # type: ignore[arg-type]
asked.loop_back(refine, writes)  # type: ignore[arg-type]
asked.exit_if(lambda ask, ctx: ask.words)  # type: ignore[attr-defined]
asked.throw_if(writes, ValueError())  # type: ignore[arg-type]
asked.rescue((ValueError, search))  # type: ignore[arg-type]
asked.rescue((5, mend))  # type: ignore[arg-type]
asked.side_chain(length)  # type: ignore[arg-type]
asked.join(timeout="soon")  # type: ignore[arg-type]
sequencer("plan").map(len)  # type: ignore[attr-defined]
router("way", {"a": search}, choose=of_text)  # type: ignore[arg-type]
router("way", {"a": length}, choose=lambda text, ctx: len(text))  # type: ignore[arg-type, return-value]
sequencer("plan", state=Counted())  # type: ignore[call-overload]
