"""Records of users and orgs that are deleted: what goes on, what is refused, and what is never lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import (
    ActionFailed,
    ApiError,
    FlowStateClient,
    PermissionDenied,
    StateWrite,
    ValidationFailed,
    VersionMismatch,
)
from flowstate_server.app import create_flowstate
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import Context, User, action, define_flow, handler
from flowstate_server.model.clock import Seconds
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.server import RunningServer
from flowstate_server.testing.waiting import until
from tests.support.fleets import Fleet
from tests.support.store_urls import NewStore


class Counted(BaseModel):
    count: int = 0


@handler(user_state=Counted)
async def count_on(_: None, ctx: Context[Any, Counted]) -> None:
    """Counts until it is stopped, or may not."""
    while True:
        await ctx.user.inc_state(count=1)
        await asyncio.sleep(0.005)


@handler(user_state=Counted)
async def count_once(_: None, ctx: Context[Any, Counted]) -> int:
    return (await ctx.user.inc_state(count=1)).version


counting = define_flow(
    kind="counting",
    user=User(state=Counted),
    actions={"count_on": action(block=count_on), "count_once": action(block=count_once)},
)


async def test_a_deleted_record_is_made_anew_by_the_next_write(backend: FlowStateClient) -> None:
    user = backend.state.user("ada")
    await user.patch_state(count=1)
    before = await user.inc_state(count=1)
    await backend.state.user("ada", flow_kind="private").patch_state(count=5)
    await user.delete()
    gone = await user.get()
    assert (gone.exists, gone.version, gone.state["count"]) == (False, 2, 0)
    after = await user.inc_state(count=1)
    assert (after.version, (await user.get()).state["count"]) == (3, 1)
    assert after.incarnation != before.incarnation
    assert (await backend.state.user("ada", flow_kind="private").get()).state["count"] == 5
    await backend.state.user("ada", flow_kind="private", isolated=True).delete()
    assert not (await backend.state.user("ada", flow_kind="private").get()).exists
    assert (await user.get()).exists


async def test_what_a_deletion_refuses(backend: FlowStateClient) -> None:
    org = backend.state.org("acme")
    with pytest.raises(VersionMismatch):
        await org.delete()
    await org.delete(allow_missing=True)
    await org.patch_state(motto="on")
    with pytest.raises(VersionMismatch):
        await org.at(7).delete()
    seen = await org.get()
    await org.at(seen).delete()
    with pytest.raises(VersionMismatch):
        await org.at(seen).delete()
    await org.at(seen).delete(allow_missing=True)
    await org.patch_state(motto="anew")
    with pytest.raises(VersionMismatch):
        await org.at(seen).delete(allow_missing=True)
    session = await backend.sessions.create("ledger", user_id="ada")
    with pytest.raises(ValidationFailed):
        await backend.state.session(session.id).delete()


async def test_a_deletion_with_a_key_is_done_once(backend: FlowStateClient) -> None:
    user = backend.state.user("ada")
    await user.patch_state(count=1)
    await user.delete(idempotency_key="k")
    await user.patch_state(count=2)
    await user.delete(idempotency_key="k")
    assert (await user.get()).state["count"] == 2


async def test_only_who_may_write_a_record_may_delete_it(
    server: RunningServer, backend: FlowStateClient
) -> None:
    await backend.state.user("bob").patch_state(count=1)
    async with server.connect(plane="trusted", user="ada") as bound, server.connect(user="bob") as client:
        for one in (bound, client):
            with pytest.raises(PermissionDenied):
                await one.state.user("bob").delete()
            with pytest.raises(PermissionDenied):
                await one.state.user("bob", flow_kind="ledger", isolated=True).get()
    assert (await backend.state.user("bob").get()).exists


async def test_requests_in_progress_lose_a_deleted_record(start_server: StartServer, store_url: str) -> None:
    """Those dispatched before; those after it make it anew."""
    server = await start_server(create_flowstate(flows=[counting]), store=store_url)
    async with server.connect(plane="trusted") as client:
        user = client.state.user("ada")
        await user.patch_state(count=100)
        run = await client.flows.dispatch("counting", "count_on", None, user_id="ada")

        async def runs() -> bool:
            return bool((await user.get()).state["count"] > 102)

        await until(runs)
        await user.delete()
        with pytest.raises(ActionFailed) as failed:
            await run.result(timeout=10.0)
        assert failed.value.failure.reason == "SCOPE_UNAVAILABLE"
        gone = await user.get()
        assert not gone.exists
        assert await client.flows.call("counting", "count_once", None, user_id="ada") == gone.version + 1
        assert (await user.get()).state["count"] == 1


@pytest.mark.parametrize("refreshes", [False, True])
async def test_requests_dispatched_without_a_record_bring_none_back(
    start_server: StartServer, store_url: str, refreshes: bool
) -> None:
    """They write in what others have made meanwhile, but not once that was deleted, made anew or not."""
    waiting: set[str] = set()
    released = asyncio.Event()

    @handler(user_state=Counted)
    async def count_late(name: str, ctx: Context[Any, Counted]) -> int:
        waiting.add(name)
        await released.wait()
        if refreshes:
            await ctx.user.refresh()
        first = await ctx.user.inc_state(count=1)
        return first.version + (await ctx.user.inc_state(count=1)).version

    flow = define_flow(
        kind="counting", user=User(state=Counted), actions={"count_late": action(block=count_late)}
    )
    names = ["never", "tombstone", "made", "deleted", "anew"]
    server = await start_server(create_flowstate(flows=[flow]), store=store_url)
    async with server.connect(plane="trusted") as client:
        users = {name: client.state.user(name) for name in names}
        await users["tombstone"].inc_state(count=1)
        await users["tombstone"].delete()
        runs = {
            name: await client.flows.dispatch("counting", "count_late", name, user_id=name) for name in names
        }
        await until(lambda: waiting == set(names))
        for name in ("made", "deleted", "anew"):
            await users[name].inc_state(count=10)
        for name in ("deleted", "anew"):
            await users[name].delete()
        await users["anew"].inc_state(count=100)
        released.set()
        sums = [await runs[name].result(timeout=10.0) for name in ("never", "tombstone", "made")]
        assert sums == [1 + 2, 2 + 3, 2 + 3]
        for name in ("deleted", "anew"):
            with pytest.raises(ActionFailed) as failed:
                await runs[name].result(timeout=10.0)
            assert failed.value.failure.reason == "SCOPE_UNAVAILABLE"
        assert not (await users["deleted"].get()).exists
        assert (await users["anew"].get()).state["count"] == 100


async def test_deletions_under_load_lose_nothing_of_what_is_made_anew(fleet: Fleet) -> None:
    """Each acknowledged write is in the record that it was made in; no version comes twice."""
    written: list[StateWrite] = []
    stopped = asyncio.Event()

    async def write(number: int) -> None:
        while not stopped.is_set():
            written.append(await fleet.client(number).state.user("ada").inc_state(count=1))

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(write(number))
        for number in range(10):
            await until(partial(_more_than, written, len(written) + 20))
            await fleet.client(number).state.user("ada").delete(allow_missing=True)
        stopped.set()
    versions = [write.version for write in written]
    assert len(versions) == len(set(versions))
    record = await fleet.client(0).state.user("ada").get()
    of_each = Counter(write.incarnation for write in written)
    assert len(of_each) >= 10
    assert record.state["count"] == (of_each[record.incarnation] if record.exists else 0)
    assert record.version == max(versions)


def _more_than(written: list[StateWrite], count: int) -> bool:
    return len(written) > count


async def test_versions_go_on_once_a_tombstone_is_forgotten(
    start_server: StartServer, new_store: NewStore, kind: str
) -> None:
    forgetful = EngineSettings(tombstone_retention=Seconds(0.05), lease=Seconds(0.6))
    server = await start_server(
        create_flowstate(flows=[counting]), store=await new_store(kind), settings=forgetful
    )
    async with server.connect(plane="trusted") as client:
        user = client.state.user("ada")
        for _ in range(3):
            await user.inc_state(count=1)
        seen = await user.get()
        await user.delete()

        async def forgotten() -> bool:
            return (await user.get()).version == 0

        await until(forgotten)
        with pytest.raises(ApiError):
            await user.at(seen).inc_state(count=1)
        assert (await user.at(0).inc_state(count=1)).version == 4
        assert (await user.get()).state["count"] == 1


@pytest.fixture(params=["memory", "file", "sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)
