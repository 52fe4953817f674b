"""What a flow shows reaches whoever watches it: from any process, for any number, and beside what hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from flowstate_client import FlowStateClient, Scope, Snapshot, SnapshotWatch
from flowstate_server.flows import (
    ClientView,
    Context,
    Flow,
    Org,
    Session,
    User,
    View,
    action,
    define_flow,
    handler,
)
from flowstate_server.testing.server_process import server_processes
from tests.support.flows import APP
from tests.support.hosted import Hosted, hosted
from tests.support.watched import Board, Taste, Team

WATCHERS = 500


async def _until(views: SnapshotWatch[Any], scope: str, name: str, value: Any) -> Snapshot[Any]:
    async with asyncio.timeout(20.0):
        async for view in views:
            if view.client_data[scope].get(name) == value:
                return view
    raise AssertionError("the watch has ended")


async def test_a_change_through_one_process_shows_in_the_watch_of_another(shared_url: str) -> None:
    """A run's and a trusted writer's, of the session, its user and its org; in both directions."""
    async with (
        server_processes(2, APP, store=shared_url) as (one, two),
        AsyncExitStack() as stack,
    ):
        adas, backends = [], []
        for server in (one, two):
            ada = FlowStateClient.connect(server.target, user="ada", org="acme")
            adas.append(await stack.enter_async_context(ada))
            backend = FlowStateClient.connect(server.target, plane="trusted")
            backends.append(await stack.enter_async_context(backend))
        await adas[0].sessions.create("ledger", session_id="s")
        views = [await stack.enter_async_context(ada.sessions.watch("s")) for ada in adas]
        for watch in views:
            view = await anext(watch)
            assert view.client_data["session"] == {"count": 0, "names": [], "double": 0}
            assert view.client_data["org"] == {"count": 0, "motto": ""}
        for turn in range(1, 5):
            here, there = turn % 2, 1 - turn % 2
            await adas[here].flows.call("ledger", "bump", {}, session_id="s")
            view = await _until(views[there], "session", "count", turn)
            assert view.client_data["session"]["double"] == 2 * turn
            await backends[here].state.user("ada", flow_kind="ledger").inc_state(count=1)
            await _until(views[there], "user", "count", turn)
            motto = f"turn {turn}"
            await backends[here].state.org("acme", flow_kind="ledger").patch_state({"motto": motto})
            await _until(views[there], "org", "motto", motto)


def _team_flow(**derived: Any) -> Flow:
    @handler
    async def nothing(value: None, ctx: Context) -> None: ...

    return define_flow(
        "team",
        session=Session(state=Board, client=ClientView(expose=["count"])),
        org=Org(state=Team, client=ClientView(expose=["budget"], derived=derived)),
        actions={"nothing": action(block=nothing)},
    )


@asynccontextmanager
async def _watched(server: Hosted, count: int) -> AsyncIterator[list[SnapshotWatch[Any]]]:
    """Watches of as many sessions of one org, each of which has shown its first view."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(server.client(org="acme"))
        for number in range(count):
            await client.sessions.create("team", session_id=f"s{number}")
        watches = [
            await stack.enter_async_context(client.sessions.watch(f"s{number}")) for number in range(count)
        ]
        await asyncio.gather(*(anext(watch) for watch in watches))
        yield watches


async def test_500_watchers_of_one_org_cost_one_derivation_a_change() -> None:
    derived: list[int] = []

    def half(view: View[Team]) -> float:
        derived.append(view.state.budget)
        return view.state.budget / 2

    async with (
        asyncio.timeout(55),
        hosted(_team_flow(half=half)) as server,
        server.client(plane="trusted") as backend,
        _watched(server, WATCHERS) as watches,
    ):
        assert derived == [0]
        for budget in (7, 8):
            await backend.state.org("acme", flow_kind="team").patch_state({"budget": budget})
            views = await asyncio.gather(*(_until(watch, "org", "budget", budget) for watch in watches))
            assert {view.client_data["org"]["half"] for view in views} == {budget / 2}
        assert derived == [0, 7, 8]


async def test_500_watchers_of_one_org_are_served_beside_a_derived_value_that_hangs() -> None:
    let_go = threading.Event()
    begun: list[int] = []

    def hangs(view: View[Team]) -> int:
        begun.append(view.state.budget)
        let_go.wait(50)
        return view.state.budget

    async def drags(view: View[Team]) -> int:
        await asyncio.Event().wait()
        return 0

    def half(view: View[Team]) -> float:
        return view.state.budget / 2

    flow = _team_flow(half=half, hangs=hangs, drags=drags)
    try:
        async with (
            asyncio.timeout(55),
            hosted(flow) as server,
            server.client(plane="trusted") as backend,
            _watched(server, WATCHERS) as watches,
        ):
            whole = 0
            for budget in range(1, 5):
                await backend.state.org("acme", flow_kind="team").patch_state({"budget": budget})
                views = await asyncio.gather(*(_until(watch, "org", "budget", budget) for watch in watches))
                for view in views:
                    assert view.client_data["org"] in (
                        {"budget": budget, "half": budget / 2},
                        {"budget": budget},
                    )
                    assert view.failures[Scope.ORG].keys() >= {"hangs", "drags"}
                whole += all(view.client_data["org"].get("half") == budget / 2 for view in views)
                # Other sessions and unary calls go on beside it.
                await backend.state.session("s0").inc_state(count=1)
                await _until(watches[0], "session", "count", budget)
            assert whole >= 3, "once the machine may have no second for it"
            assert len(begun) == 2, "two threads may hang, then it fails at once"
            let_go.set()
            for budget in range(5, 100):
                await backend.state.org("acme", flow_kind="team").patch_state({"budget": budget})
                view = await _until(watches[1], "org", "budget", budget)
                if view.client_data["org"].get("hangs") == budget:
                    break
            else:
                raise AssertionError("it is called again once it has come back")
    finally:
        let_go.set()


async def test_a_failure_is_not_kept_for_the_next_watcher() -> None:
    fails = True

    def moody(view: View[Team]) -> str:
        if fails:
            raise ValueError("not now")
        return "fine"

    async with hosted(_team_flow(moody=moody)) as server, server.client(org="acme") as client:
        await client.sessions.create("team", session_id="s0")
        await client.sessions.create("team", session_id="s1")
        async with client.sessions.watch("s0") as first, client.sessions.watch("s1") as second:
            assert (await anext(first)).failures[Scope.ORG].keys() == {"moody"}
            fails = False
            view = await anext(second)
            assert view.client_data["org"]["moody"] == "fine"
            assert view.failures == {}
            waiting = asyncio.ensure_future(anext(first))
            await asyncio.wait((waiting,), timeout=0.2)  # nothing changed, so nothing may come
            assert not waiting.done()
            async with server.client(plane="trusted") as backend:
                await backend.state.org("acme", flow_kind="team").inc_state(hidden=1)
            assert (await waiting).client_data["org"]["moody"] == "fine", "tried again with the next change"


def _taste_flow(kind: str, *, isolated: bool) -> Flow:
    @handler
    async def nothing(value: None, ctx: Context) -> None: ...

    return define_flow(
        kind,
        user=User(state=Taste, client=ClientView(expose=["theme"])),
        isolate_user_state=isolated,
        actions={"nothing": action(block=nothing)},
    )


async def test_a_watch_shows_its_own_flows_user_record_also_once_it_is_deleted() -> None:
    flows = (_taste_flow("shared", isolated=False), _taste_flow("alone", isolated=True))
    async with (
        hosted(*flows) as server,
        server.client() as client,
        server.client(plane="trusted") as backend,
    ):
        for kind in ("shared", "alone"):
            await client.sessions.create(kind, session_id=kind)
        user_id = (await client.sessions.get("alone")).user_id
        own = backend.state.user(user_id, flow_kind="alone", isolated=True)
        common = backend.state.user(user_id, flow_kind="shared")
        async with client.sessions.watch("shared") as shared, client.sessions.watch("alone") as alone:
            await asyncio.gather(anext(shared), anext(alone))
            await own.patch_state({"theme": "dark"})
            assert (await _until(alone, "user", "theme", "dark")).versions[Scope.USER] == 1
            await common.patch_state({"theme": "blue"})
            view = await anext(shared)  # the first since: the other record was not its own
            assert (view.client_data["user"], view.versions[Scope.USER]) == ({"theme": "blue"}, 1)
            await own.delete()
            await _until(alone, "user", "theme", "light")
            await own.patch_state({"theme": "red"})
            assert (await _until(alone, "user", "theme", "red")).versions[Scope.USER] == 2
            await common.delete()
            await _until(shared, "user", "theme", "light")
