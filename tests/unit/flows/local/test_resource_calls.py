"""Who reaches resources, and how: blocks, one after the other, sync or async, and functions that decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from flowstate_server.errors import (
    FlowDefinitionError,
)
from flowstate_server.flows import (
    CollectionHandle,
    Context,
    ReadingContext,
    ResourceHandle,
    action,
    define_flow,
    handler,
    router,
    sequencer,
)
from tests.support.kept_resources import ResourcesRun
from tests.unit.flows.local.resource_blocks import Artifact, artifact, files, logo, ran, run

FORGOTTEN: dict[str, Callable[[ResourceHandle[Artifact], CollectionHandle[Artifact]], object]] = {
    "ctx.resource(artifact).write(...)": lambda it, them: it.write("text"),
    "ctx.resource(artifact).patch_state(...)": lambda it, them: it.patch_state(title="t"),
    "ctx.resource(artifact).at(3).delete(...)": lambda it, them: it.at(3).delete(),
    "ctx.resource(artifact).read(...)": lambda it, them: it.read(),
    "ctx.resource(artifact).refresh(...)": lambda it, them: it.refresh(),
    "ctx.resource(files/*).create(...)": lambda it, them: them.create("files/a"),
    "ctx.resource(files/*).list(...)": lambda it, them: them.list(),
}


@pytest.mark.parametrize("forgotten", FORGOTTEN)
async def test_a_call_without_await_fails_the_block_by_name(forgotten: str) -> None:
    async def work(ctx: Context) -> None:
        FORGOTTEN[forgotten](ctx.resource(artifact), ctx.resource(files))

    with pytest.raises(RuntimeError) as failed:
        await run(work)
    assert f'handler "act" never awaited {forgotten} in line ' in str(failed.value)


async def test_a_piece_without_await_fails_the_block() -> None:
    async def work(ctx: Context) -> None:
        async with ctx.resource(artifact).open() as content:
            content.write("lost")  # type: ignore[unused-coroutine]

    with pytest.raises(RuntimeError, match=r"never awaited ctx\.resource\(artifact\)\.open\(\)\.write"):
        await run(work)


async def test_a_sync_handler_reaches_them_through_the_loop() -> None:
    @handler(resources=[artifact, files])
    def act(value: None, ctx: Context) -> list[str]:
        it = ctx.resource(artifact)
        ctx.run(it.write("text"))
        them = ctx.resource(files)
        ctx.run(them.create("files/a", content=ctx.run(it.read())))
        return [one.name for one in ctx.run(them.list())]

    flow = define_flow("f", actions={"act": action(block=act)})
    given = cast(Any, ResourcesRun(flow.described.resources))
    assert await flow.program.execute("act", None, given) == ["files/a"]


async def test_blocks_of_one_run_see_what_the_others_wrote() -> None:
    @handler(resources=[artifact])
    async def first(value: None, ctx: Context) -> None:
        await ctx.resource(artifact).patch_state(owner="ada")

    @handler(resources=[artifact])
    async def second(value: None, ctx: Context) -> str:
        return ctx.resource(artifact).state.owner

    flow = define_flow("f", actions={"act": action(block=sequencer("both").tap(first).step(second))})
    given = cast(Any, ResourcesRun(flow.described.resources))
    assert await flow.program.execute("act", None, given) == "ada"


async def test_functions_that_decide_read_what_their_block_declares() -> None:
    seen: list[Any] = []

    async def look(value: object, ctx: ReadingContext) -> bool:
        it = ctx.resource(artifact)
        found = await ctx.resource(files).get("files/a")
        assert await ctx.resource(files).get_or_none("files/b") is None
        listed = [one.name for one in await ctx.resource(files).list()]
        seen.append(
            (it.name, it.exists, it.version, it.state.owner, it.get("revision"), it.size, it.media_type)
        )
        seen.append(
            (await it.read(), await it.read_text(), [piece async for piece in it.read_pieces(start=2)])
        )
        seen.append((found.state.title, found.sha256, listed, await ctx.resource(files).count()))
        assert not hasattr(it, "patch_state")
        assert not hasattr(found, "write")
        assert not hasattr(ctx.resource(files), "create")
        return True

    @handler(resources=[artifact, files])
    async def begin(value: None, ctx: Context) -> None:
        async with ctx.resource(artifact).batch() as batch:
            batch.patch_state(owner="ada")
            batch.write("text", media_type="text/plain")
        await ctx.resource(files).create("files/a", {"title": "A"})

    @handler
    async def done(value: None, ctx: Context) -> str:
        return "done"

    declared = (artifact, files)
    rows = (
        sequencer("rows", resources=declared).tap(begin).exit_if(lambda value, ctx: ctx.resource(logo).exists)
    )
    with pytest.raises(FlowDefinitionError, match='sequencer "rows" uses resource "logo"'):
        await ran(rows, ResourcesRun([one.described for one in (*declared, logo)]))
    both = sequencer("both", resources=declared).tap(begin).step_if(look, done)
    assert await ran(both) == "done"
    assert seen == [
        ("artifact", True, 1, "ada", 0, 4, "text/plain"),
        (b"text", "text", [b"xt"]),
        ("A", "", ["files/a"], 1),
    ]
    routes = (
        sequencer("routes")
        .tap(begin)
        .step(router("choose", {"yes": done}, choose=lambda value, ctx: _yes(ctx), resources=[artifact]))
    )
    assert await ran(routes) == "done"


def _yes(ctx: ReadingContext) -> str:
    return "yes" if ctx.resource(artifact).exists else "no"
