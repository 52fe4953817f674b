"""Resources on their way between records, stores and slots: copies, checks, a folder for their contents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from grpc import aio

from flowstate.v1.types_pb2 import ScopeRef
from flowstate_server.app import create_flowstate
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.model.clock import Seconds
from flowstate_server.model.resources import (
    ResourceOwner,
    place_key,
    resource_in,
    resource_key,
    resource_text,
)
from flowstate_server.model.scopes import ScopeKind, user_scope
from flowstate_server.rpc.server import FlowStateServer
from flowstate_server.settings import ServerSettings
from flowstate_server.stores.blobs import BlobFolder
from flowstate_server.stores.contract.blob_writes import DoomBlob
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.contract.writes import Write
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.sqlite import commit_poller
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import check_store, copy_store, differences
from flowstate_server.stores.transfer.state_copy import CopiedState, Outcome, StateCopy, copy_states
from flowstate_server.testing.server import RunningServer
from tests.support.resource_flow import KIND, Desk, desk, desk_server, read

PRIVATE = "private"
SHARED = ScopeRef(user_id="ada", flow_kind=KIND)
OWN = ScopeRef(user_id="ada", flow_kind=PRIVATE)
QUICK = EngineSettings(content_retention=Seconds(0.001), upload_retention=Seconds(0.001))


@asynccontextmanager
async def two_records(store_url: str = "memory") -> AsyncIterator[Desk]:
    """A flow that shares the record of its users, and one of the same resources that has a record of its own."""
    own = desk(kind=PRIVATE, isolated=frozenset({ScopeKind.USER}))
    async with desk_server(desk(), own, store=store_url) as server:
        yield server


async def copied(server: Desk, **terms: object) -> CopiedState:
    what = StateCopy("user", PRIVATE, True, "ada", **terms)  # type: ignore[arg-type]
    [told] = [one async for one in copy_states(server.engine.store, what)]
    return told


async def test_a_copy_of_state_takes_resources_along(store_url: str) -> None:
    async with two_records(store_url) as server:
        await server.put(SHARED, "profile", {"name": "Ada"})
        for name in ("a", "b"):
            await server.put(
                SHARED, f"cards/{name}", {"tag": name}, b"card " + name.encode(), media_type="x/y"
            )
        would = await copied(server, dry_run=True)
        assert (would.outcome, would.resources) == (Outcome.COPIED, ("cards/a", "cards/b", "profile"))
        assert await server.names(OWN) == []
        told = await copied(server, resources=lambda name: name != "cards/b")
        assert (told.outcome, told.resources) == (Outcome.COPIED, ("cards/a", "profile"))
        card = await server.get(OWN, "cards/a")
        assert (read(card.state), card.content, card.media_type, card.meta.version) == (
            {"tag": "a"},
            b"card a",
            "x/y",
            1,
        )
        assert (await copied(server, resources=lambda name: name != "cards/b")).outcome is Outcome.SAME
        await server.put(OWN, "cards/a", {"tag": "mine"}, b"mine")
        told = await copied(server)
        assert (told.outcome, told.resources, told.refused) == (Outcome.REFUSED, ("cards/b",), ("cards/a",))
        assert (await server.get(OWN, "cards/a")).content == b"mine"
        told = await copied(server, overwrite=True)
        assert (told.outcome, told.resources) == (Outcome.COPIED, ("cards/a",))
        assert (await server.get(OWN, "cards/a")).content == b"card a"
        await server.delete(SHARED, "cards/a")
        assert await server.content(OWN, "cards/a") == b"card a"
        assert [line async for line in check_store(server.engine.store)] == []


async def test_a_copy_of_a_store_has_all_of_them(store_url: str) -> None:
    async with desk_server(store=store_url) as server:
        await server.session()
        session = ScopeRef(session_id="s1")
        await server.put(session, "draft", {"words": 1}, b"text")
        for number in range(5):
            await server.put(session, f"files/{number}", {}, b"%d" % number)
        await server.put(SHARED, "cards/a", {}, b"card")
        await server.write(session, "notes/a", 0, b"half")
        other = MemoryStore()
        await other.open()
        try:
            await copy_store(server.engine.store, other, name="source")
            assert [line async for line in differences(server.engine.store, other)] == []
            assert [line async for line in check_store(other)] == []
        finally:
            await other.close()
        async with desk_server(store=other) as copy:
            assert await copy.names(session) == await server.names(session)
            assert await copy.content(session, "draft") == b"text"
            done = await copy.write(session, "notes/a", 4, b" done", finish=True)
            assert done.resource.content_size == 9
            await copy.put(session, "files/9", {})
            assert await copy.names(session, "files/") == ["files/3", "files/4", "files/9"]


@pytest.mark.parametrize(
    "problem",
    [
        "resource cards/a: its content is not there",
        "resource cards/a: its content has another size or checksum",
        "2 resources are counted, there are 1",
        "the order of its resources is not that of those that are there",
    ],
)
async def test_what_does_not_fit_is_found(problem: str) -> None:
    async with desk_server() as server:
        await server.put(SHARED, "cards/a", {}, b"card")
        await server.put(SHARED, "profile", {}, b"text")
        store = server.engine.store
        state = (await store.load_states((user_scope("ada"),)))[user_scope("ada")]
        owner = ResourceOwner(state.key, state.incarnation)
        await store.commit(await _broken(store, owner, problem))
        found = [line async for line in check_store(store)]
        assert any(line.endswith(problem) for line in found), found


async def _broken(store: Store, owner: ResourceOwner, problem: str) -> tuple[Write, ...]:
    key = resource_key(owner, "cards/a")
    record = resource_in((await store.load_documents((key,)))[key])
    assert record.content is not None
    if "not there" in problem:
        return (DoomBlob(record.content.blob),)
    if "checksum" in problem:
        other = replace(record, content=replace(record.content, size=9))
        return (PutDocument(key, resource_text(other, b"{}")),)
    if "counted" in problem:
        return (DeleteDocument(resource_key(owner, "profile")),)
    return (DeleteDocument(place_key(owner, record.collection, record.number)),)


async def test_the_contents_are_kept_in_the_slot_of_the_profile(tmp_path: Path) -> None:
    store, folder = MemoryStore(), tmp_path / "contents"
    app = create_flowstate(
        flows=[desk()], stores={"default": {"primary": store, "blobs": BlobFolder(folder)}}
    )
    engine = app.engine(settings=QUICK)
    server = FlowStateServer(engine, ServerSettings(listen="127.0.0.1:0"))
    await engine.open()
    address = f"127.0.0.1:{await server.start()}"
    try:
        async with aio.insecure_channel(address) as channel:
            here = Desk(RunningServer(server, engine, address), channel)
            await here.session()
            session = ScopeRef(session_id="s1")
            await here.put(session, "draft", {}, b"in a folder")
            await here.write(session, "draft", 0, b"in pieces", finish=True)
            assert await here.content(session, "draft") == b"in pieces"
            assert store.pieces is not None
            assert await store.pieces.list(after=None, limit=9) == []
            assert [line async for line in check_store(store, blobs=BlobFolder(folder))] == []
            await here.delete(session, "draft")
            async with asyncio.timeout(10):
                while [path for path in folder.rglob("*") if path.is_file()]:
                    await here.sweep()
    finally:
        await server.stop(drain_grace=0.0)


async def test_a_store_that_keeps_no_content_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "pieces", None)
    async with desk_server() as server:
        await server.session()
        session = ScopeRef(session_id="s1")
        await server.put(session, "draft", {"words": 1})
        with pytest.raises(aio.AioRpcError) as refusal:
            await server.put(session, "draft", content=b"x")
        assert refusal.value.code().name == "UNIMPLEMENTED"
        await server.sweep()


@pytest.mark.parametrize("evictions", [150, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_evictions_leave_the_store_no_larger(
    evictions: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The log of commits takes 40 bytes for each, and keeps them for a minute otherwise.
    monkeypatch.setattr(commit_poller, "TRIM_AGE", 0)
    monkeypatch.setattr(commit_poller, "TRIM_INTERVAL", 0.1)
    path = tmp_path / "flowstate.db"
    settings = replace(QUICK, tombstone_retention=Seconds(0.001), transient_retention=Seconds(0.0))
    async with desk_server(store=f"sqlite:///{path}", settings=settings) as server:
        await server.session()
        session = ScopeRef(session_id="s1")
        sizes = []
        for number in range(evictions):
            await server.put(
                session, f"files/{number}", {"tag": "t" * 1_000}, number.to_bytes(4, "big") * 5_000
            )
            if number % 25 == 24:
                await server.sweep()
                sizes.append(path.stat().st_size)
        store = server.engine.store
        async with asyncio.timeout(20):
            while len(await _pieces(store)) > 3:
                await server.sweep()
        assert sizes[-1] < 1.2 * sizes[len(sizes) // 3], sizes


async def _pieces(store: Store) -> list[object]:
    assert store.pieces is not None
    return list(await store.pieces.list(after=None, limit=100))
