"""Resources as blocks read and write them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import pytest

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
from flowstate_server.flows import Context, ResourceHandle, action, define_flow, handler
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.resources import ResourceWrite
from flowstate_server.state.operations import set_state
from flowstate_server.testing import run_flow
from tests.support.kept_resources import ResourcesRun
from tests.unit.flows.local.resource_blocks import Artifact, artifact, charter, files, kept, logo, run


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
        return (it.exists, it.state.title, it.size, it.media_type)

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
