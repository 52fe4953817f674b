"""Resources as blocks read and write them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
from pydantic import BaseModel, Field

from flowstate_server.errors import (
    FlowDefinitionError,
    ResourceAlreadyExistsError,
    ResourceDeletedError,
    ResourceNotFoundError,
    StateFieldAbsentError,
    StateValidationError,
    ValidationFailedError,
    VersionMismatchError,
)
from flowstate_server.flows import (
    ClientView,
    CollectionHandle,
    Context,
    ReadingContext,
    ResourceHandle,
    ResourceView,
    Session,
    View,
    action,
    define_flow,
    handler,
    resource,
    resources,
    router,
    sequencer,
)
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.resources import ResourceWrite
from flowstate_server.state.operations import set_state
from flowstate_server.testing import run_flow
from tests.support.kept_resources import KeptResources, ResourcesRun


class Artifact(BaseModel):
    title: str = Field("untitled", max_length=20)
    revision: int = 0
    tags: list[str] = []
    owner: str


artifact = resource("artifact", state=Artifact)
files = resources("files/*", state=Artifact)
charter = resource("charter", state=Artifact, scope="org")
logo = resource("logo")

Work = Callable[[Context], Awaitable[object]]


async def run(
    work: Work, kept: ResourcesRun | None = None, declared: Sequence[Any] = (artifact, files)
) -> Any:
    @handler(resources=declared)
    async def act(value: None, ctx: Context) -> object:
        return await work(ctx)

    flow = define_flow("f", actions={"act": action(block=act)})
    given = kept or ResourcesRun(flow.described.resources)
    return await flow.program.execute("act", None, cast(Any, given))


def kept(declared: Sequence[Any] = (artifact, files)) -> tuple[ResourcesRun, KeptResources]:
    made = ResourcesRun([one.described for one in declared])
    return made, made.resources[ScopeKind.SESSION]


async def test_a_single_one_reads_as_its_defaults_until_it_is_written() -> None:
    async def work(ctx: Context) -> None:
        it = ctx.resource(artifact)
        assert (it.name, it.exists, it.version, it.state.title) == ("artifact", False, 0, "untitled")
        assert (it.size, it.sha256, it.media_type, await it.read(), await it.read_text()) == (
            0,
            "",
            "",
            b"",
            "",
        )
        assert it.get("owner") is None
        with pytest.raises(StateFieldAbsentError, match='resource "artifact" field owner'):
            _ = it.state.owner
        write = await it.patch_state(owner="ada")
        assert (write.version, write.changed) == (1, True)
        assert (it.exists, it.version, it.state.owner) == (True, 1, "ada")
        assert ctx.resource(artifact).state.owner == "ada"

    await run(work)


async def test_the_operations_are_those_of_scopes() -> None:
    async def work(ctx: Context) -> None:
        it = ctx.resource(artifact)
        await it.set_state(Artifact(owner="ada"))
        await it.inc_state(revision=2)
        await it.push_state("tags", "a", "b")
        assert (it.state.revision, it.state.tags) == (2, ["a", "b"])
        await it.atomic_state(lambda state: {"revision": state.revision * 10})
        await it.atomic_state(lambda state: state.model_copy(update={"title": "Plan"}))
        assert (it.state.revision, it.state.title) == (20, "Plan")
        await it.unset_state("title")
        assert it.state.title == "untitled"
        assert not (await it.inc_state(revision=0)).changed
        with pytest.raises(StateValidationError, match='resource "artifact" state would break'):
            await it.patch_state(title="x" * 21)
        with pytest.raises(AttributeError, match=r"ctx\.resource\(artifact\)\.inc_state"):
            it.state.revision = 3
        with pytest.raises(TypeError, match=r"ctx\.resource\(artifact\)\.push_state"):
            it.state.tags.append("c")
        with pytest.raises(VersionMismatchError):
            await it.at(1).patch_state(title="late")
        assert (await it.at(it.version).patch_state(title="in time")).changed

    await run(work)


async def test_state_and_content_change_in_one_commit() -> None:
    made, owned = kept()

    async def work(ctx: Context) -> None:
        it = ctx.resource(artifact)
        async with it.batch() as batch:
            batch.patch_state(owner="ada")
            batch.inc_state(revision=1)
            batch.write("# Plan", media_type="text/markdown")
        assert batch.result is not None
        assert batch.result.version == 1
        assert owned.calls == ["write"]
        assert (it.size, it.media_type, it.state.revision) == (6, "text/markdown", 1)
        assert await it.read_text() == "# Plan"
        async with it.batch() as batch:
            pass
        assert batch.result is not None
        assert not batch.result.changed
        with pytest.raises(RuntimeError, match="batch is over"):
            batch.write("late")
        with suppress(ZeroDivisionError):
            async with it.batch() as batch:
                batch.write("lost")
                raise ZeroDivisionError
        assert await it.read_text() == "# Plan"

    await run(work, made)


async def test_content_alone_keeps_the_rest() -> None:
    async def work(ctx: Context) -> None:
        it = ctx.resource(artifact)
        await it.write(b"\xff\x00", media_type="image/png")
        await it.patch_state(owner="ada")
        assert (await it.write("text")).version == 3
        assert (it.media_type, it.state.owner, await it.read()) == ("image/png", "ada", b"text")
        assert not (await it.write("text")).changed
        with pytest.raises(TypeError, match="content is text or bytes, not int"):
            await it.write(cast(Any, 5))

    await run(work)


async def test_content_is_written_and_read_in_pieces() -> None:
    async def work(ctx: Context) -> None:
        it = ctx.resource(artifact)
        async with it.open(media_type="text/csv") as content:
            await content.write("a,b\n")
            await content.write(b"1,2\n")
            assert content.size == 8
            assert not it.exists
        assert content.result is not None
        assert content.result.version == 1
        assert [piece async for piece in it.read_pieces(start=2)] == [b"b\n1,", b"2\n"]
        with suppress(ZeroDivisionError):
            async with it.open() as content:
                await content.write("lost")
                raise ZeroDivisionError
        assert await it.read_text() == "a,b\n1,2\n"
        pieces = it.read_pieces()
        await it.write("another one")
        assert b"".join([piece async for piece in pieces]) == b"a,b\n1,2\n"

    await run(work)


async def test_a_collection() -> None:
    async def work(ctx: Context) -> None:
        them = ctx.resource(files)
        made = await them.create("files/b", Artifact(owner="ada"), content="text", media_type="text/plain")
        assert (made.name, made.state.owner, made.media_type, await made.read_text()) == (
            "files/b",
            "ada",
            "text/plain",
            "text",
        )
        empty = await them.create("files/a")
        assert (empty.exists, empty.version, empty.state.title) == (True, 1, "untitled")
        with pytest.raises(ResourceAlreadyExistsError):
            await them.create("files/a", {"owner": "eve"})
        assert [one.name for one in await them.list()] == ["files/a", "files/b"]
        assert [one.name for one in await them.list("files/", limit=1, after="files/a")] == ["files/b"]
        assert await them.count() == 2
        found = await them.get("files/b")
        await found.inc_state(revision=1)
        assert made.state.revision == 1  # of one resource all handles of a run see the same
        assert await them.get_or_none("files/c") is None
        with pytest.raises(ResourceNotFoundError):
            await them.get("files/c")
        assert (await them.get_or_create("files/b", {"owner": "eve"})).state.owner == "ada"
        assert (await them.get_or_create("files/c", {"owner": "eve"})).state.owner == "eve"
        assert await them.delete("files/c")
        assert not await them.delete("files/c")

    await run(work)


@pytest.mark.parametrize("name", ["other/a", "files", "files/a/b", "files/", "", "files/\n", "x" * 513])
async def test_names_do_not_leave_the_pattern(name: str) -> None:
    async def work(ctx: Context) -> None:
        them = ctx.resource(files)
        for call in (them.create, them.get, them.get_or_none, them.get_or_create, them.delete):
            with pytest.raises(ValidationFailedError) as refused:
                await call(name)
            assert refused.value.violations[0].path == "/name"

    await run(work)


async def test_what_somebody_else_deleted_does_not_come_back() -> None:
    made, owned = kept()

    async def work(ctx: Context) -> None:
        them = ctx.resource(files)
        it = await them.create("files/a", {"owner": "ada"})
        await owned.delete("files/a", ())  # by another run
        for write in (
            it.patch_state(title="late"),
            it.write("late"),
            it.atomic_state(lambda state: {"revision": 1}),
        ):
            with pytest.raises(ResourceDeletedError):
                await write
        await owned.write("files/a", ResourceWrite(set_state({})), ())
        with pytest.raises(ResourceDeletedError):
            await it.patch_state(title="late")
        await it.refresh()
        assert (it.version, it.state.get("owner")) == (3, None)  # type: ignore[attr-defined]
        await it.patch_state(title="in time")

    await run(work, made)


async def test_what_the_run_deleted_itself_it_may_write_anew() -> None:
    async def work(ctx: Context) -> None:
        it = ctx.resource(artifact)
        await it.write("text")
        assert await it.delete()
        assert (it.exists, it.version, await it.read()) == (False, 2, b"")
        assert not await it.delete()
        assert (await it.patch_state(owner="ada")).version == 3
        assert it.size == 0
        them = ctx.resource(files)
        one = await them.create("files/a")
        await them.delete("files/a")
        assert not one.exists
        await one.write("anew")
        assert one.exists

    await run(work)


Deletion = Callable[[Context, ResourceHandle[Artifact]], Awaitable[bool]]


@pytest.mark.parametrize(
    ("name", "delete"),
    [
        ("artifact", lambda ctx, it: it.delete()),
        ("artifact", lambda ctx, it: it.at(it.version).delete()),
        ("artifact", lambda ctx, it: ctx.resource(artifact).delete()),
        ("files/a", lambda ctx, it: it.delete()),
        ("files/a", lambda ctx, it: it.at(it.version).delete()),
        ("files/a", lambda ctx, it: ctx.resource(files).delete("files/a")),
    ],
)
async def test_handles_see_what_the_run_deleted_itself(name: str, delete: Deletion) -> None:
    def handle(ctx: Context) -> Awaitable[ResourceHandle[Artifact]]:
        async def single() -> ResourceHandle[Artifact]:
            return ctx.resource(artifact)

        return single() if name == "artifact" else ctx.resource(files).get_or_create(name)

    def shown(it: ResourceHandle[Artifact]) -> tuple[object, ...]:
        return (it.exists, it.version, it.state.title, it.size, it.media_type)

    @handler(resources=[artifact, files])
    async def act(value: None, ctx: Context) -> None:
        it = await handle(ctx)
        await it.patch_state(title="Plan")
        await it.write("text", media_type="text/plain")
        assert await delete(ctx, it)
        seen = shown(it)
        assert (it.exists, it.state.title, it.size, await it.read()) == (False, "untitled", 0, b"")
        await it.refresh()
        assert shown(it) == seen
        assert not await it.delete()
        await it.patch_state(revision=1)
        assert (it.exists, it.state.title, it.state.revision, it.size) == (True, "untitled", 1, 0)
        assert (await handle(ctx)).state.revision == 1

    await run_flow(define_flow("f", actions={"act": action(block=act)}), "act", None)


async def test_what_was_made_anew_meanwhile_is_what_a_handle_sees() -> None:
    @handler(resources=[files])
    async def act(value: None, ctx: Context) -> None:
        them = ctx.resource(files)
        it = await them.create("files/a", {"title": "old"})

        async def anew() -> None:
            while True:
                with suppress(ResourceAlreadyExistsError):
                    await them.create("files/a", {"title": "new"})
                    return

        await asyncio.gather(it.delete(), anew())
        assert (it.exists, it.state.title) == (True, "new")

    await run_flow(define_flow("f", actions={"act": action(block=act)}), "act", None)


async def test_what_a_block_does_not_declare_is_refused_by_name() -> None:
    async def work(ctx: Context) -> None:
        with pytest.raises(FlowDefinitionError) as refused:
            ctx.resource(files)
        assert str(refused.value) == (
            'handler "act" uses resources "files/*", which it does not declare: add it to its resources=[...]'
        )

    await run(work, declared=(artifact,))


async def test_those_of_an_org_need_one() -> None:
    async def work(ctx: Context) -> None:
        with pytest.raises(RuntimeError, match=r"look whether ctx\.org is None first"):
            ctx.resource(charter)

    await run(work, ResourcesRun([charter.described], [ScopeKind.SESSION]), declared=(charter,))


async def test_one_without_a_state_has_a_content() -> None:
    async def work(ctx: Context) -> None:
        it = ctx.resource(logo)
        await it.write(b"png", media_type="image/png")
        assert await it.read() == b"png"
        with pytest.raises(StateValidationError):
            await it.patch_state(title="x")

    await run(work, declared=(logo,))


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


async def ran(block: Any, kept: ResourcesRun | None = None) -> Any:
    flow = define_flow("f", actions={"act": action(block=block)})
    given = kept or ResourcesRun(flow.described.resources)
    return await flow.program.execute("act", None, cast(Any, given))


def labelled(view: View[Any]) -> str:
    found = view.resources["artifact"]
    return "none" if found is None else str(found.title)


def shortened(state: Artifact) -> dict[str, str]:
    return {"short": state.title[:2]}


async def shortened_late(state: Artifact) -> dict[str, str]:
    return shortened(state)


def broken(state: Artifact) -> Any:
    raise KeyError("c4nary")


def unfit(state: Artifact) -> Any:
    return ["c4nary"]


async def test_derived_values_see_the_single_resources_of_their_scope() -> None:
    flow = define_flow(
        "f",
        actions={"act": action(block=handler(resources=[artifact])(_nothing))},
        session=Session(client=ClientView(derived={"label": labelled})),
    )
    derive = flow.program.derive
    for stored, label in ((None, "none"), ({}, "untitled"), ({"title": "Plan"}, "Plan")):
        given = cast(Any, {"artifact": stored})
        assert await derive(ScopeKind.SESSION, ["label"], {}, given) == {"label": label}


async def _nothing(value: None, ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (shortened, {"short": "Pl"}),
        (shortened_late, {"short": "Pl"}),
        (broken, Failure("INTERNAL", "the resource view failed: KeyError")),
        (unfit, Failure("INTERNAL", "the resource view failed: TypeError")),
    ],
)
@pytest.mark.parametrize("name", ["artifact", "files/*"])
async def test_a_function_says_what_clients_see(name: str, data: Any, shown: Any) -> None:
    view = ResourceView(data=data)
    make: Any = resources if "*" in name else resource
    declared = make(name, state=Artifact, client=view)
    flow = define_flow("f", actions={"act": action(block=handler(_nothing))}, resources=[declared])
    found = await flow.program.show(ScopeKind.SESSION, name, {"title": "Plan"})
    if isinstance(found, Failure):
        assert found.error_id
        found = replace(found, error_id="")
    assert found == shown
