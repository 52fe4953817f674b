"""Content of resources as blocks write it, on the engine: what is kept of it, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.errors import MessageTooLargeError, ValidationFailedError, VersionMismatchError
from flowstate_server.flows import Context, ResourceHandle, action, define_flow, handler, resource, resources
from flowstate_server.model.blobs import MAX_BLOB_BYTES
from flowstate_server.testing import FlowRun, run_flow


class Page(BaseModel):
    title: str = "untitled"


page = resource("page", state=Page)
pages = resources("pages/*", state=Page, scope="user")
TOO_MUCH = bytes(MAX_BLOB_BYTES + 1)


async def ran(work: Callable[[Context], Awaitable[Any]]) -> FlowRun:
    __tracebackhide__ = True

    @handler(resources=[page, pages])
    async def act(_: None, ctx: Context) -> None:
        await work(ctx)

    return await run_flow(define_flow("books", actions={"act": action(block=act)}), "act")


async def test_pieces_that_are_written_side_by_side_are_all_there() -> None:
    pieces = [bytes([number]) * 700_000 for number in range(6)]

    async def work(ctx: Context) -> None:
        it = ctx.resource(page)
        async with it.open() as content:
            await asyncio.gather(*map(content.write, pieces))
        written = await it.read()
        assert sorted(written[start : start + 700_000] for start in range(0, 4_200_000, 700_000)) == pieces
        assert (it.size, it.sha256) == (4_200_000, hashlib.sha256(written).hexdigest())

    await ran(work)


async def test_nothing_is_written_behind_the_end() -> None:
    async def work(ctx: Context) -> None:
        it = ctx.resource(page)
        async with it.open() as content:
            await content.write("all")
        with pytest.raises(RuntimeError, match="the content is finished"):
            await content.write("more")
        with pytest.raises(KeyError):
            async with it.open() as given_up:
                raise KeyError
        with pytest.raises(RuntimeError, match="the content is finished"):
            await given_up.write("more")
        await it.refresh()
        assert await it.read_text() == "all"

    await ran(work)


async def written_with_a_cancelled_piece(it: ResourceHandle[Page]) -> None:
    async with it.open() as content:
        await content.write(b"begin")
        writing = asyncio.create_task(content.write(bytes(3_000_000)))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing


async def test_content_of_which_a_piece_was_cancelled_is_not_kept() -> None:
    async def work(ctx: Context) -> None:
        it = ctx.resource(page)
        with pytest.raises(RuntimeError, match="was not written whole"):
            await written_with_a_cancelled_piece(it)
        await it.refresh()
        assert not it.exists

    await ran(work)


async def written(ctx: Context, how: str, content: bytes) -> None:
    it = ctx.resource(page)
    if how == "write":
        await it.write(content)
    elif how == "create":
        await ctx.resource(pages).create("pages/a", content=content)
    elif how == "batch":
        async with it.batch() as batch:
            batch.patch_state(title="x")
            batch.write(content)
    else:
        async with it.open() as writer:
            await writer.write(content)


@pytest.mark.parametrize("how", ["write", "create", "batch", "open"])
async def test_content_may_have_64_mib_and_no_more(how: str) -> None:
    async def work(ctx: Context) -> None:
        it, them = ctx.resource(page), ctx.resource(pages)
        with pytest.raises(MessageTooLargeError, match="67108865 bytes; the limit is 67108864"):
            await written(ctx, how, TOO_MUCH)
        await it.refresh()
        assert not it.exists
        assert await them.count() == 0

    await ran(work)


@pytest.mark.parametrize("kind", [5, "x" * 256, "é" * 128, "text/plain\n", "a\ud800"])
async def test_a_media_type_is_a_short_text(kind: Any) -> None:
    async def work(ctx: Context) -> None:
        it, them = ctx.resource(page), ctx.resource(pages)
        with pytest.raises(ValidationFailedError, match="media_type: must be a text of at most 255 bytes"):
            await it.write("x", media_type=kind)
        with pytest.raises(ValidationFailedError, match="media_type"):
            await them.create("pages/a", content="x", media_type=kind)
        with pytest.raises(ValidationFailedError, match="media_type"):
            async with it.open(media_type=kind) as content:
                await content.write("x")
        await it.write("x", media_type="é" * 127)
        assert (it.version, it.media_type) == (1, "é" * 127)

    await ran(work)


async def test_content_is_read_from_a_place_in_it() -> None:
    async def work(ctx: Context) -> None:
        it = ctx.resource(page)
        await it.write("0123")
        for start, rest in ((0, b"0123"), (3, b"3"), (4, b""), (10**12, b"")):
            assert b"".join([piece async for piece in it.read_pieces(start=start)]) == rest
        with pytest.raises(ValidationFailedError, match="/start: must not be negative"):
            await anext(it.read_pieces(start=-1))

    await ran(work)


async def deleted(ctx: Context, it: ResourceHandle[Page], how: str) -> bool:
    if how == "itself":
        return await it.delete()
    if how == "at":
        return await it.at(it.version).delete()
    return await ctx.resource(pages).delete("pages/a")


@pytest.mark.parametrize("how", ["itself", "at", "by name"])
async def test_what_a_run_has_deleted_it_sees_deleted_and_may_write_anew(how: str) -> None:
    async def work(ctx: Context) -> None:
        it = await ctx.resource(pages).create("pages/a", {"title": "old"}, content="old")
        assert await deleted(ctx, it, how)
        assert (it.exists, it.version, it.state.title, await it.read()) == (False, 2, "untitled", b"")
        if how == "itself":
            assert not await it.delete()
        await it.patch_state(title="new")
        assert (it.exists, it.version, it.state.title, await it.read()) == (True, 3, "new", b"")

    await ran(work)


async def test_what_another_handle_has_seen_deleted_is_deleted() -> None:
    async def work(ctx: Context) -> None:
        it = ctx.resource(page)
        await it.write("old")
        same = ctx.resource(page)
        await it.delete()
        assert not same.exists
        with pytest.raises(VersionMismatchError, match="at version 2, the call expects 1"):
            await same.at(1).delete()

    await ran(work)
