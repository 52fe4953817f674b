"""Resources, from blocks and clients to every store and back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import (
    FlowStateClient,
    ResourceAlreadyExists,
    ResourceChange,
    ResourceDeleted,
    ResourceNotFound,
    SchemaViolation,
    TooManyResources,
    VersionMismatch,
)
from flowstate_client.testing import FaultProxy
from flowstate_server.flows import (
    ActionError,
    ClientView,
    Context,
    ResourceAlreadyExistsError,
    ResourceView,
    Session,
    View,
    action,
    define_flow,
    handler,
    resource,
    resources,
)
from flowstate_server.testing.server import RunningServer, running_server
from tests.support.canaries import Canaries


class Artifact(BaseModel):
    title: str = "untitled"
    body: str = ""
    revision: int = 0
    tags: list[str] = []


class Names(BaseModel):
    names: list[str]
    create: bool = False


def upper(state: Artifact) -> dict[str, str]:
    return {"title": state.title.upper()}


def crack(state: Artifact) -> dict[str, str]:
    raise KeyError(state.body)


artifact = resource(
    "artifact", state=Artifact, client=ResourceView(exclude=["body"], content=True, live=True)
)
quiet = resource("quiet", state=Artifact, client=ResourceView(data=upper))
cracked = resource("cracked", state=Artifact, client=ResourceView(data=crack))
hidden = resource("hidden", state=Artifact)
files = resources("files/*", state=Artifact, client=ResourceView(expose=["title"]), max_instances=3)
recent = resources("recent/**", state=Artifact, max_instances=2, evict="oldest")
profile = resource("profile", state=Artifact, scope="user", client=ResourceView(expose=["title"]))
charter = resource("charter", state=Artifact, scope="org")


@handler(resources=[artifact])
async def write(title: str, ctx: Context) -> int:
    it = ctx.resource(artifact)
    async with it.batch() as batch:
        batch.patch_state(title=title, body=title * 2)
        batch.inc_state(revision=1)
        batch.write(f"# {title}", media_type="text/markdown")
    return it.version


@handler(resources=[artifact])
async def read(value: None, ctx: Context) -> list[Any]:
    it = ctx.resource(artifact)
    return [it.exists, it.state.title, it.state.revision, await it.read_text(), it.media_type]


@handler(resources=[files, recent])
async def keep(given: Names, ctx: Context) -> list[str]:
    for name in given.names:
        them = ctx.resource(recent if name.startswith("recent/") else files)
        if given.create:
            await them.create(name, {"title": name}, content=name)
        else:
            it = await them.get_or_create(name, {"title": name})
            await it.inc_state(revision=1)
    found = [*await ctx.resource(files).list(limit=100), *await ctx.resource(recent).list()]
    assert await ctx.resource(files).count() + await ctx.resource(recent).count() == len(found)
    return [one.name for one in found]


@handler(resources=[files])
async def race(name: str, ctx: Context) -> bool:
    try:
        await ctx.resource(files).create(name)
    except ResourceAlreadyExistsError:
        return False
    return True


@handler(resources=[hidden, quiet, cracked, profile])
async def fill(text: str, ctx: Context) -> None:
    for one in (hidden, quiet, cracked, profile):
        it = ctx.resource(one)
        await it.set_state(Artifact(title=text[:4], body=text, tags=[text]))
        await it.write(text)


@handler(resources=[charter])
async def found(value: None, ctx: Context) -> int:
    if ctx.org is None:
        raise ActionError("ORG_REQUIRED", "this needs an org")
    return (await ctx.resource(charter).inc_state(revision=1)).version


@handler(resources=[artifact])
async def pour(size: int, ctx: Context) -> str:
    it = ctx.resource(artifact)
    async with it.open(media_type="application/octet-stream") as content:
        for start in range(0, size, 700_000):
            await content.write(bytes(min(700_000, size - start)))
    length = 0
    async for piece in it.read_pieces():
        assert len(piece) <= 1024 * 1024
        length += len(piece)
    assert length == it.size == size
    return it.sha256


def label(view: View) -> str:
    it = view.resources["artifact"]
    return "nothing" if it is None else f"{it.title} {it.revision}"


studio = define_flow(
    kind="studio",
    session=Session(client=ClientView(derived={"label": label})),
    actions={block.name: action(block=block) for block in (write, read, keep, race, fill, found, pour)},
)


@pytest.fixture
async def server(store_url: str) -> AsyncIterator[RunningServer]:
    async with running_server(studio, store=store_url) as running:
        yield running


@pytest.fixture
async def service(server: RunningServer) -> AsyncIterator[FlowStateClient]:
    async with server.connect(user="ada", plane="trusted") as client:
        yield client


@pytest.fixture
async def screen(server: RunningServer) -> AsyncIterator[FlowStateClient]:
    async with server.connect(user="ada") as client:
        yield client


async def call(client: FlowStateClient, name: str, value: Any = None, session: str = "s", **more: Any) -> Any:
    return await client.flows.call("studio", name, value, session_id=session, **more)


async def test_what_a_run_writes_is_there_for_the_next_one_and_for_services(service: FlowStateClient) -> None:
    assert await call(service, "read") == [False, "untitled", 0, "", ""]
    assert await call(service, "write", "Plan") == 1
    assert await call(service, "read") == [True, "Plan", 1, "# Plan", "text/markdown"]
    it = service.resources.session("s").named("artifact", model=Artifact)
    record = await it.get()
    assert (record.version, record.state.body, record.content) == (1, "PlanPlan", b"# Plan")
    assert (await it.inc_state(revision=1)).version == 2
    assert (await it.put(state={"title": "Mine"}, content="mine")).version == 3
    assert not (await it.put(content="mine")).changed
    assert await call(service, "read") == [True, "Mine", 0, "mine", "text/markdown"]
    with pytest.raises(SchemaViolation):
        await it.patch_state(revision="many")  # type: ignore[arg-type]
    await it.atomic_state(lambda state: {"revision": state.revision + 5})
    async with it.batch() as batch:
        batch.inc_state(revision=1)
        batch.push_state("tags", "a")
    assert (await it.get()).state == Artifact(title="Mine", revision=6, tags=["a"])


async def test_collections_hold_what_they_may(service: FlowStateClient) -> None:
    made = await call(
        service, "keep", {"names": ["files/b", "files/a", "recent/x/y", "recent/1"], "create": True}
    )
    assert made == ["files/a", "files/b", "recent/1", "recent/x/y"]
    assert await call(service, "keep", {"names": ["recent/2", "files/a"]}) == [
        "files/a",
        "files/b",
        "recent/1",
        "recent/2",
    ]
    owned = service.resources.session("s")
    assert [one.name async for one in owned.list("files/", page_size=1)] == ["files/a", "files/b"]
    await owned["files/c"].put(content="third")
    with pytest.raises(TooManyResources):
        await owned["files/d"].put(content="fourth")
    await owned["files/c"].delete()
    await owned["files/d"].if_exists(False).put(state={"title": "D"})
    with pytest.raises(ResourceAlreadyExists):
        await owned["files/d"].if_exists(False).put(state={"title": "E"})
    with pytest.raises(ResourceNotFound):
        await owned["elsewhere"].put(content="no flow declares it")
    with pytest.raises(ValueError, match="name must have no control character"):
        await owned["files/\x00"].put(content="no name")


async def test_of_those_who_race_for_a_name_one_makes_it(service: FlowStateClient) -> None:
    made = await asyncio.gather(*(call(service, "race", "files/a") for _ in range(10)))
    assert sorted(made) == [False] * 9 + [True]
    kept = [call(service, "keep", {"names": ["files/b"]}) for _ in range(10)]
    await asyncio.gather(*kept)
    record = await service.resources.session("s").named("files/b", model=Artifact).get()
    assert record.state.revision == 10


async def test_what_was_deleted_does_not_come_back(service: FlowStateClient) -> None:
    it = service.resources.session("s")["artifact"]
    await call(service, "write", "Plan")
    seen = await it.get()
    await it.delete()
    for late in (it.at(seen).patch_state(title="late"), it.at(seen).put(content="late")):
        with pytest.raises(ResourceDeleted):
            await late
    with pytest.raises(ResourceDeleted):
        await it.at(seen).upload(b"late")
    with pytest.raises(ResourceNotFound):
        await it.get()
    with pytest.raises(ResourceNotFound):
        await it.delete()
    await it.delete(allow_missing=True)
    assert await call(service, "write", "Anew") == 3
    with pytest.raises(ResourceDeleted):
        await it.at(seen).patch_state(title="late")
    with pytest.raises(VersionMismatch):
        await it.at(1).patch_state(title="late")


async def test_clients_see_what_the_view_says_and_nothing_else(
    service: FlowStateClient, screen: FlowStateClient
) -> None:
    canaries = Canaries()
    secret = canaries("the state and the content")
    await call(service, "fill", secret)
    await call(service, "write", "Plan")
    await call(service, "keep", {"names": ["files/a"]})
    await service.resources.session("s")[f"recent/{canaries('a name')}"].put(content=secret)
    seen: list[Any] = []
    owned = screen.resources.session("s")
    for view in (None, "client"):
        record = await owned["artifact"].get(view=view)
        assert record.state == {"title": "Plan", "revision": 1, "tags": []}
        assert (await owned["quiet"].get(view=view)).state == {"title": secret[:4].upper()}
        assert (await owned["files/a"].get(view=view)).state == {"title": "files/a"}
        listed = [one async for one in owned.list(view=view)]
        assert [one.name for one in listed] == ["artifact", "cracked", "files/a", "quiet"]
        seen += [record.raw, *(one.raw for one in listed)]
    assert await owned["artifact"].read_text() == "# Plan"
    mine = screen.resources.user("ada", flow_kind="studio")
    assert (await mine["profile"].get()).state == {"title": secret[:4]}
    for name in ("hidden", "never", f"recent/{secret}"):
        errors = []
        for reads in (owned[name].get(), owned[name].read()):
            with pytest.raises(ResourceNotFound) as refused:
                await reads
            errors.append(refused.value)
        told = {(one.reason, one.message.replace(name, "?"), one.metadata["scope"]) for one in errors}
        assert told == {("RESOURCE_NOT_FOUND", "No session resource ?.", "session")}
    for reads in (owned["quiet"].read(), mine["profile"].read()):
        with pytest.raises(ResourceNotFound):
            await reads
    snapshot = await screen.sessions.snapshot("s")
    assert snapshot.client_data["session"] == {
        "label": "Plan 1",
        "artifact": {"title": "Plan", "revision": 1, "tags": []},
        "quiet": {"title": secret[:4].upper()},
    }
    failure = snapshot.failures["session"]["cracked"]  # type: ignore[index]
    assert (failure.reason, failure.message) == ("INTERNAL", "the resource view failed: KeyError")
    assert snapshot.client_data["user"] == {"profile": {"title": secret[:4]}}
    assert snapshot.resource_versions["session"] == {"artifact": 1, "cracked": 2, "quiet": 2}  # type: ignore[index]
    seen.append(repr(snapshot).encode())
    async for event in screen.sessions.events("s", replay_only=True):
        seen.append(repr(event).encode())
    assert not canaries.found(b"\n".join(seen))


async def test_live_changes_come_as_clients_see_them(
    service: FlowStateClient, screen: FlowStateClient
) -> None:
    run = await screen.flows.dispatch("studio", "write", "Plan", session_id="s")
    changes = [event async for event in run.events() if isinstance(event, ResourceChange)]
    assert [(one.name, one.version, one.previous_version, one.deleted) for one in changes] == [
        ("artifact", 1, 0, False)
    ]
    assert changes[0].changed == {"/title": "Plan", "/revision": 1}
    assert changes[0].content_changed
    assert changes[0].stale_derived == ("label",)
    run = await screen.flows.dispatch("studio", "fill", "secret", session_id="s")
    changes = [event async for event in run.events() if isinstance(event, ResourceChange)]
    assert {one.name for one in changes} == {"quiet", "cracked", "profile"}
    assert all(not one.changed and not one.removed and not one.content_changed for one in changes)


async def test_those_of_users_and_orgs(service: FlowStateClient) -> None:
    await call(service, "fill", "mine", session="one")
    profile = service.resources.user("ada", flow_kind="studio")["profile"]
    assert (await profile.get()).state["body"] == "mine"
    assert await call(service, "found", session="two", org_id="acme") == 1
    assert await call(service, "found", session="three", org_id="acme") == 2
    charter = service.resources.org("acme", flow_kind="studio")["charter"]
    assert (await charter.get()).state["revision"] == 2


async def test_content_in_pieces_from_a_block(service: FlowStateClient) -> None:
    size = 3 * 1024 * 1024 + 5
    sha256 = await call(service, "pour", size)
    record = await service.resources.session("s")["artifact"].get()
    assert (record.size, record.sha256, record.content) == (size, sha256, None)
    assert await service.resources.session("s")["artifact"].read() == bytes(size)


async def test_files_go_over_through_cuts(server: RunningServer, tmp_path: Path) -> None:
    whole = os.urandom(5 * 1024 * 1024 + 17)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(whole)
    async with (
        FaultProxy(server.target) as proxy,
        FlowStateClient.connect(proxy.target, user="ada", plane="trusted") as client,
    ):
        await call(client, "read")
        it = client.resources.session("s")["artifact"]

        def cut(done: int, total: int | None) -> None:
            if done % (2 * 1024 * 1024) == 0:
                proxy.cut()

        write = await it.upload(source, media_type="application/octet-stream", progress=cut)
        assert write.changed
        record = await it.download(target, progress=cut)
        assert target.read_bytes() == whole
        assert (record.size, record.version) == (len(whole), write.version)
        assert proxy.accepted > 3
        assert not (await it.upload(whole)).changed
