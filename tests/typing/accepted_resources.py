"""What the type checker has to accept of resources, with the types it has to see. Checked, never run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_type

from pydantic import BaseModel

from flowstate_client import FlowStateClient, ResourceRecord, StateWrite as ClientWrite
from flowstate_server.flows import (
    CollectionHandle,
    Context,
    Resource,
    ResourceCollection,
    ResourceHandle,
    ResourceView,
    StateWrite,
    View,
    action,
    define_flow,
    handler,
    resource,
    resources,
)
from flowstate_server.testing import run_flow


class Artifact(BaseModel):
    title: str = ""
    revision: int = 0
    tags: list[str] = []


class Counted(BaseModel):
    count: int = 0


def shown(state: Artifact) -> dict[str, str]:
    return {"title": state.title.upper()}


artifact = resource("artifact", state=Artifact, client=ResourceView(data=shown, live=True))
files = resources("files/*", state=Artifact, scope="user", max_instances=3, evict="oldest")
logo = resource("logo", client=ResourceView(expose=[], content=True))

assert_type(artifact, Resource[Artifact])
assert_type(files, ResourceCollection[Artifact])
assert_type(logo, Resource[BaseModel])


@handler(session_state=Counted, resources=[artifact, files, logo])
async def write(title: str, ctx: Context[Counted]) -> str:
    it = ctx.resource(artifact)
    assert_type(it, ResourceHandle[Artifact])
    assert_type(it.state, Artifact)
    assert_type(await it.patch_state(title=title, tags=["a"]), StateWrite)
    await it.inc_state(revision=1)
    await it.push_state("tags", "b", "c")
    await it.at(3).set_state(Artifact(title=title))
    await it.atomic_state(lambda state: {"revision": state.revision + 1})
    async with it.batch() as batch:
        batch.patch_state(title=title)
        batch.write("# Plan", media_type="text/markdown")
    async with it.open(media_type="text/csv") as content:
        await content.write("a,b")
    async for piece in it.read_pieces(start=2):
        assert_type(piece, bytes)
    them = ctx.resource(files)
    assert_type(them, CollectionHandle[Artifact])
    assert_type(
        await them.create("files/a", {"title": title}, content=b"", media_type=""), ResourceHandle[Artifact]
    )
    assert_type(await them.get_or_none("files/a"), ResourceHandle[Artifact] | None)
    assert_type(await them.list("files/", limit=3), Sequence[ResourceHandle[Artifact]])
    assert_type(await ctx.resource(logo).read(), bytes)
    await ctx.session.inc_state(count=1)
    return it.state.title + await it.read_text()


def label(view: View[Counted]) -> str:
    found: Artifact | None = view.resources["artifact"]
    return "" if found is None else found.title


flow = define_flow("f", actions={"write": action(block=write)}, resources=[logo])


def told(done: int, total: int | None) -> None: ...


async def outside(client: FlowStateClient, path: Path) -> None:
    owned = client.resources.session("s")
    assert_type((await owned["artifact"].get()).state, Any)
    it = owned.named("artifact", model=Artifact)
    assert_type(await it.get(), ResourceRecord[Artifact])
    assert_type(await it.patch_state(title="Plan"), ClientWrite)
    await it.put(state=Artifact(), content="text", media_type="text/plain")
    await it.at(await it.get()).inc_state(revision=1)
    await it.atomic_state(lambda state: {"revision": state.revision + 1})
    await it.upload(path, media_type="text/plain", progress=told)
    await it.upload(b"bytes")
    await it.download(path)
    async with it.read_pieces() as pieces:
        async for piece in pieces:
            assert_type(piece, bytes)
    async with it.batch() as batch:
        batch.inc_state(revision=1)
    async for record in owned.list("files/", model=Artifact):
        assert_type(record.state, Artifact)
    async with client.state.batch() as several:
        several.session("s", resource="artifact", model=Artifact).inc_state(revision=1)


async def tested() -> None:
    await run_flow(flow, "write", "Plan")
