"""Resources in runs, in what clients see of a session, and what goes when their owner goes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from flowstate.v1 import session_service_pb2 as sessions, state_service_pb2 as states
from flowstate.v1.types_pb2 import SCOPE_KIND_SESSION, SCOPE_KIND_USER, Precondition, ScopeRef
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    Reason,
    ResourceAlreadyExistsError,
    ResourceDeletedError,
    ResourceNotFoundError,
    ScopeUnavailableError,
    TooManyResourcesError,
    VersionMismatchError,
)
from flowstate_server.model.clock import Seconds
from flowstate_server.model.json_values import Json
from flowstate_server.model.resources import ResourceRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.resources import ResourceAccess, ResourceWrite
from flowstate_server.programs.run_context import RunContext
from flowstate_server.state.operations import inc_state, patch_state, unset_state
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer import check_store
from tests.support.resource_flow import KIND, MOST_FILES, RESOURCES, Body, Desk, desk, desk_server, read
from tests.support.wire import TRUSTED, refused

SESSION = ScopeRef(session_id="s1")
USER = ScopeRef(user_id="ada", flow_kind=KIND)
QUICK = EngineSettings(
    cancel_grace=Seconds(0.2),
    content_retention=Seconds(0.001),
    upload_retention=Seconds(0.001),
    tombstone_retention=Seconds(0.001),
)
PIECE = 1024 * 1024


def described(name: str) -> Any:
    return next(one for one in RESOURCES if one.name == name)


def of(run: RunContext, kind: ScopeKind = ScopeKind.SESSION) -> ResourceAccess:
    return run.resources[kind]


async def content_of(access: ResourceAccess, record: ResourceRecord, start: int = 0) -> bytes:
    return b"".join([piece async for piece in access.read(record, start=start)])


@asynccontextmanager
async def running(
    store_url: str, body: Body, *wanted: tuple[ScopeKind, str], settings: EngineSettings | None = None
) -> AsyncIterator[Desk]:
    async with desk_server(desk({"go": body}, wanted=wanted), store=store_url, settings=settings) as server:
        yield server


async def test_a_run_writes_and_reads_state_and_content(store_url: str) -> None:
    async def go(_: Any, run: RunContext) -> Json:
        access = of(run)
        empty = access.loaded("draft")
        assert (empty.exists, empty.version) == (False, 0)
        write = ResourceWrite(inc_state({"words": 2}), b"two words", "text/plain")
        written = await access.write("draft", write, ("block",))
        assert (written.changed, written.record.version, written.record.state) == (True, 1, {"words": 2})
        assert access.loaded("draft") == written.record
        assert await content_of(access, written.record) == b"two words"
        assert await content_of(access, written.record, 4) == b"words"
        again = await access.write("draft", ResourceWrite(content=b"two words"), ())
        assert (again.changed, again.record.version) == (False, 1)
        profile = await of(run, ScopeKind.USER).write(
            "profile", ResourceWrite(patch_state({"name": "Ada"})), ()
        )
        assert profile.record.version == 1
        assert (await of(run, ScopeKind.USER).load("profile")).state == {"name": "Ada"}
        assert (await run.scopes[ScopeKind.USER].refresh()).version == 1
        return written.record.incarnation

    async with running(store_url, go, (ScopeKind.SESSION, "draft"), (ScopeKind.USER, "profile")) as server:
        incarnation = await server.call("go")
        got = await server.get(SESSION, "draft")
        assert (got.meta.incarnation, got.content, got.media_type) == (
            incarnation,
            b"two words",
            "text/plain",
        )
        told = await server.changes(TRUSTED)
        assert [(one.name, one.previous_version, one.version, one.content_changed) for one in told] == [
            ("draft", 0, 1, True),
            ("profile", 0, 1, False),
        ]


async def test_what_an_action_wants_is_loaded_with_it(store_url: str) -> None:
    async def go(_: Any, run: RunContext) -> Json:
        with pytest.raises(LookupError):
            of(run).loaded("plan")
        user = of(run, ScopeKind.USER).loaded("profile")
        return [of(run).loaded("draft").state, user.state, user.exists]

    async with running(store_url, go, (ScopeKind.SESSION, "draft"), (ScopeKind.USER, "profile")) as server:
        assert await server.call("go") == [{}, {}, False]
        await server.put(SESSION, "draft", {"words": 7})
        await server.put(USER, "profile", {"name": "Ada"})
        assert await server.call("go") == [{"words": 7}, {"name": "Ada"}, True]


async def test_preconditions_of_a_run(store_url: str) -> None:
    async def go(_: Any, run: RunContext) -> Json:
        access = of(run)
        first = (await access.write("draft", ResourceWrite(exists=False), ())).record
        assert first.exists
        with pytest.raises(ResourceAlreadyExistsError):
            await access.write("draft", ResourceWrite(exists=False), ())
        with pytest.raises(VersionMismatchError):
            await access.write("draft", ResourceWrite(inc_state({"words": 1}), at=7), ())
        with pytest.raises(VersionMismatchError):
            await access.delete("draft", (), at=7)
        deleted = await access.delete("draft", (), at=1, incarnation=first.incarnation)
        assert (deleted.changed, deleted.record.exists, deleted.record.version) == (True, False, 2)
        assert not (await access.delete("draft", ())).changed
        with pytest.raises(ResourceDeletedError):
            await access.write("draft", ResourceWrite(content=b"x", incarnation=first.incarnation), ())
        with pytest.raises(ResourceNotFoundError):
            await access.write("undeclared", ResourceWrite(content=b"x"), ())
        nothing = await access.write("draft", ResourceWrite(unset_state("log")), ())
        assert (nothing.changed, nothing.record.exists) == (False, False)
        second = (await access.write("draft", ResourceWrite(inc_state({"words": 1})), ())).record
        return [second.version, second.incarnation != first.incarnation]

    async with running(store_url, go) as server:
        assert await server.call("go") == [3, True]


async def test_collections_of_a_run(store_url: str) -> None:
    async def go(_: Any, run: RunContext) -> Json:
        access, files, limited = of(run), described("files/*"), described("limited/{topic}")
        for number in range(MOST_FILES + 1):
            await access.write(f"files/{9 - number}", ResourceWrite(patch_state({"tag": str(number)})), ())
        await access.write("notes/a/b", ResourceWrite(), ())
        for number in range(2):
            await access.write(f"limited/{number}", ResourceWrite(), ())
        with pytest.raises(
            TooManyResourcesError, match=r'^More than 2 session resources "limited/\{topic\}"\.$'
        ):
            await access.write("limited/2", ResourceWrite(), ())
        names = [record.key.name for record in await access.list(files)]
        assert names == ["files/6", "files/7", "files/8"]
        assert [one.key.name for one in await access.list(files, limit=1, after="files/6")] == ["files/7"]
        assert [one.key.name for one in await access.list(files, "files/8")] == ["files/8"]
        assert await access.list(files, "fileſ") == []
        assert [await access.count(one) for one in (files, limited, described("draft"))] == [3, 2, 0]
        return len(await access.list(described("notes/**")))

    async with running(store_url, go) as server:
        assert await server.call("go") == 1


async def test_swaps_are_not_lost_to_each_other(store_url: str) -> None:
    async def go(_: Any, run: RunContext) -> Json:
        def more(record: ResourceRecord) -> Any:
            return patch_state({"words": record.state.get("words", 0) + 1})  # type: ignore[operator]

        await asyncio.gather(*(of(run).swap("draft", more, ()) for _ in range(20)))
        return None

    async with running(store_url, go) as server:
        await asyncio.gather(server.call("go"), server.call("go"))
        assert read((await server.get(SESSION, "draft")).state)["words"] == 40


async def test_uploads_of_a_run(store_url: str) -> None:
    data = bytes(range(251)) * 13_000

    async def go(_: Any, run: RunContext) -> Json:
        access = of(run)
        upload = await access.upload()
        for start in range(0, len(data), 777_777):
            await upload.append(data[start : start + 777_777])
        assert upload.size == len(data)
        record = (await access.write("draft", ResourceWrite(content=await upload.finish()), ())).record
        first = await anext(reading := access.read(record))
        await access.write("draft", ResourceWrite(content=b"other"), ())
        rest = b"".join([piece async for piece in reading])
        assert first + rest == data
        assert len(first) <= PIECE
        return record.content.size if record.content else None

    async with running(store_url, go) as server:
        assert await server.call("go") == len(data)
        assert await server.content(SESSION, "draft") == b"other"


async def test_a_run_does_not_write_for_a_user_who_was_deleted(store_url: str) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def go(_: Any, run: RunContext) -> Json:
        access, cards = of(run, ScopeKind.USER), described("cards/*")
        await access.write("profile", ResourceWrite(patch_state({"name": "Ada"})), ())
        await access.write("cards/b", ResourceWrite(content=b"x"), ())
        reached.set()
        await go_on.wait()
        read = ((await access.load("profile")).exists, await access.list(cards), await access.count(cards))
        assert read == (False, [], 0)
        with pytest.raises(ScopeUnavailableError):
            await access.write("cards/a", ResourceWrite(content=b"x"), ())
        with pytest.raises(ScopeUnavailableError):
            await access.delete("profile", ())
        return None

    async with running(store_url, go) as server:
        call = asyncio.create_task(server.call("go"))
        await reached.wait()
        await server.states.DeleteState(states.DeleteStateRequest(scope=USER), metadata=TRUSTED)
        go_on.set()
        await call
        assert await server.names(USER) == []
        await server.put(USER, "cards/b", {})
        assert await server.names(USER) == ["cards/b"]


@pytest.mark.parametrize("anew", [False, True])
async def test_a_run_brings_back_no_user_who_came_and_was_deleted(store_url: str, anew: bool) -> None:
    """A run from before the user had anything writes beside others, until what they have made is deleted."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def go(value: Any, run: RunContext) -> Json:
        access = of(run, ScopeKind.USER)
        assert not (await access.load("cards/a")).exists
        reached.set()
        await go_on.wait()
        with pytest.raises(ScopeUnavailableError):
            await access.write("cards/a", ResourceWrite(content=b"x"), ())
        with pytest.raises(ScopeUnavailableError):
            await access.delete("cards/b", ())
        return None

    async with running(store_url, go) as server:
        call = asyncio.create_task(server.call("go"))
        await reached.wait()
        await server.put(USER, "cards/b", {})
        await server.states.DeleteState(states.DeleteStateRequest(scope=USER), metadata=TRUSTED)
        if anew:
            await server.put(USER, "cards/b", {})
        go_on.set()
        await call
        assert await server.names(USER) == ["cards/b"] * anew


async def test_snapshots_and_watches_show_single_resources(store_url: str) -> None:
    async with desk_server(store=store_url) as server:
        await server.session()
        bare = (await server.snapshot())[SCOPE_KIND_SESSION]
        assert dict(bare.resource_versions) == {}
        assert read(bare.values["summary"]) == {"draft": None, "plan": None}
        watch = server.sessions.WatchSnapshot(sessions.WatchSnapshotRequest(session_id="s1"))
        frames = aiter(watch)
        assert (await anext(frames)).HasField("started")
        assert (await anext(frames)).HasField("snapshot")
        await server.put(SESSION, "draft", {"title": "One", "words": 3, "secret": "s"})
        changed = (await anext(frames)).change
        assert read(changed.values["draft"]) == {"title": "One", "words": 3}
        assert read(changed.values["summary"]) == {"draft": 3, "plan": None}
        assert dict(changed.resource_versions) == {"draft": 1}
        await server.put(USER, "profile", {"name": "Ada", "secret": "s"})
        changed = (await anext(frames)).change
        assert (changed.scope, read(changed.values["profile"])) == (SCOPE_KIND_USER, {"initial": "A"})
        await server.put(SESSION, "plan", {"words": 5})
        changed = (await anext(frames)).change
        assert sorted(changed.values) == ["summary"]
        seen = await server.snapshot()
        assert dict(seen[SCOPE_KIND_SESSION].resource_versions) == {"draft": 1}
        assert dict(seen[SCOPE_KIND_USER].resource_versions) == {"profile": 1}
        assert "plan" not in seen[SCOPE_KIND_SESSION].values
        await server.delete(SESSION, "draft")
        changed = (await anext(frames)).change
        assert list(changed.removed) == ["draft"]
        await server.states.DeleteState(states.DeleteStateRequest(scope=USER), metadata=TRUSTED)
        changed = (await anext(frames)).change
        assert list(changed.removed) == ["profile"]
        watch.cancel()
        selected = await server.snapshot(
            selectors=[sessions.SnapshotSelector(scope=SCOPE_KIND_SESSION, names=["draft"])]
        )
        assert dict(selected[SCOPE_KIND_SESSION].values) == {}
        for name in ("plan", "files/*"):
            selector = sessions.SnapshotSelector(scope=SCOPE_KIND_SESSION, names=[name])
            assert (await refused(server.snapshot(selectors=[selector]))).reason is Reason.VALIDATION_FAILED


async def test_clients_hear_of_what_is_live_and_no_more_of_the_rest(store_url: str) -> None:
    async with desk_server(store=store_url) as server:
        await server.session()
        await server.put(SESSION, "draft", {"title": "One", "secret": "hidden"}, b"text")
        await server.put(SESSION, "draft", {"title": "x" * 20_000, "words": 1})
        await server.put(SESSION, "files/a", {"tag": "hidden"}, b"hidden")
        await server.put(SESSION, "plan", {"title": "hidden"})
        await server.put(SESSION, "notes/hidden", {})
        await server.delete(SESSION, "draft")
        assert len(await server.changes(TRUSTED)) == 6
        told = await server.changes()
        assert "hidden" not in str(told)
        assert [(one.name, one.version, one.deleted) for one in told] == [
            ("draft", 1, False),
            ("draft", 2, False),
            ("files/a", 1, False),
            ("draft", 3, True),
        ]
        first, second, file, _ = told
        assert {path: read(value) for path, value in first.changed.items()} == {"/title": "One"}
        assert (first.content_changed, list(first.stale_derived)) == (True, ["summary"])
        assert ({path: read(value) for path, value in second.changed.items()}, list(second.stale)) == (
            {"/words": 1},
            ["title"],
        )
        assert (file.content_changed, list(file.stale_derived), list(file.stale)) == (False, [], [])


async def test_all_goes_with_its_owner(store_url: str) -> None:
    async with desk_server(store=store_url, settings=QUICK) as server:
        await server.session()
        for scope, name in ((SESSION, "draft"), (SESSION, "files/a"), (USER, "cards/a"), (USER, "profile")):
            await server.put(scope, name, {}, b"content of " + name.encode())
        await server.write(SESSION, "files/b", 0, b"unfinished")
        await server.put(SESSION, "draft", content=b"replaced")
        await server.put(ScopeRef(user_id="eve", flow_kind=KIND), "cards/a", {}, b"stays")
        await server.sessions.DeleteSession(sessions.DeleteSessionRequest(session_id="s1"))
        assert (await refused(server.get(SESSION, "draft"))).reason is Reason.SESSION_NOT_FOUND
        await server.session(user="eve")
        assert await server.names(SESSION) == []
        assert (await refused(server.get(SESSION, "draft"))).reason is Reason.RESOURCE_NOT_FOUND
        await server.states.DeleteState(states.DeleteStateRequest(scope=USER), metadata=TRUSTED)
        assert await server.names(USER) == []
        assert (await refused(server.get(USER, "profile"))).reason is Reason.RESOURCE_NOT_FOUND
        store = server.engine.store
        async with asyncio.timeout(20):
            while len(await pieces(store)) > 1:
                await server.sweep()
        assert await server.content(ScopeRef(user_id="eve", flow_kind=KIND), "cards/a") == b"stays"
        assert [line async for line in check_store(store)] == []


async def test_replaced_content_and_uploads_that_end_nowhere_are_swept(store_url: str) -> None:
    async with desk_server(store=store_url, settings=QUICK) as server:
        await server.session()
        for number in range(5):
            await server.put(SESSION, "draft", content=b"%d" % number)
        await server.write(SESSION, "files/a", 0, b"unfinished")
        await server.put(SESSION, "draft", content=b"4")
        await refused(server.put(SESSION, "draft", content=b"5", precondition=Precondition(version=1)))
        store = server.engine.store
        async with asyncio.timeout(20):
            while len(await pieces(store)) > 1:
                await server.sweep()
        assert await server.content(SESSION, "draft") == b"4"
        assert (await server.write(SESSION, "files/a", 10, b"!")).received == 0


async def test_content_that_is_held_by_nobody_is_not_lost_to_a_sweep(store_url: str) -> None:
    """Uploads that are finished while everything that is due goes at once: whatever is answered can be read."""
    chance, soon_due = random.Random(7), replace(QUICK, upload_retention=Seconds(0.3))
    async with desk_server(store=store_url, settings=soon_due) as server:
        await server.session()

        async def write(number: int) -> None:
            name = f"notes/{number % 4}"
            while True:
                await server.write(SESSION, name, 0, b"a" * 100, upload=f"u{number}")
                await asyncio.sleep(chance.uniform(0.1, 0.35))  # to about the moment at which it is due
                answer = await server.write(
                    SESSION, name, 100, b"%d" % number, upload=f"u{number}", finish=True
                )
                if answer.HasField("resource"):
                    return

        async def sweep() -> None:
            while True:
                await server.sweep()
                await asyncio.sleep(0.001)  # the store in memory never waits

        sweeping = asyncio.create_task(sweep())
        await asyncio.gather(*map(write, range(16)))
        for name in await server.names(SESSION):
            assert (await server.content(SESSION, name)).startswith(b"a" * 100)
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)


async def pieces(store: Store) -> Any:
    assert store.pieces is not None
    return await store.pieces.list(after=None, limit=100)
