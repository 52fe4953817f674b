"""``client.sessions.watch``: whole views, whatever happens to the stream that brings them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import (
    ConnectError,
    FlowStateClient,
    InvalidArgument,
    ProtocolError,
    ResponseValidationError,
    Scope,
    SessionNotFound,
    Snapshot,
)
from flowstate_client.testing import FaultProxy, GrpcProxy
from flowstate_server.flows import View
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.reads import Projection
from flowstate_server.testing.waiting import until
from tests.support.hosted import FAST, Hosted, hosted
from tests.support.watched import board
from tests.tails.test_heartbeats import QUICK


class OnBoard(BaseModel):
    count: int
    double: int
    title: str = "(none)"


class BoardView(BaseModel):
    session: OnBoard
    user: dict[str, str]
    org: dict[str, int]


def half(view: View[Any]) -> int:
    if view.state.budget % 2:
        raise ValueError("odd")
    return int(view.state.budget // 2)


@pytest.fixture
async def server() -> AsyncIterator[Hosted]:
    async with hosted(board(half=half), settings=QUICK) as server:
        async with server.client(org="o1") as client:
            await client.sessions.create("board", session_id="s1")
        yield server


async def _set(server: Hosted, **fields: Any) -> None:
    async with server.client(plane="trusted") as backend:
        await backend.state.session("s1").patch_state(fields)


def _lose_sessions(server: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on there is none, as if they were deleted."""

    async def gone(session: SessionKey, *arguments: Any) -> Projection | None:
        return None

    monkeypatch.setattr(server.engine.store, "read_projection", gone)


async def test_it_yields_whole_views_as_the_model_and_ends_with_the_session(
    server: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(FAST, heartbeat_interval=0.05)
    async with (
        asyncio.timeout(20),
        server.client(config=config) as client,
        server.client(plane="trusted") as backend,
        client.sessions.watch("s1", model=BoardView) as views,
    ):
        view = await anext(views)
        assert view == await client.sessions.snapshot("s1", model=BoardView) or view.read_time
        assert view.client_data == BoardView(
            session=OnBoard(count=0, double=0), user={"theme": "light"}, org={"budget": 0, "half": 0}
        )
        await _set(server, title="T", count=2)
        view = await anext(views)
        assert view.client_data.session == OnBoard(count=2, double=4, title="T")
        assert view.client_data.user == {"theme": "light"}, "the rest is still there"
        assert view.versions == {Scope.SESSION: 1, Scope.USER: 0, Scope.ORG: 0}
        await backend.state.session("s1").unset_state("title")
        assert (await anext(views)).client_data.session.title == "(none)"
        await backend.state.org("o1", flow_kind="board").inc_state({"budget": 3})
        view = await anext(views)
        assert view.client_data.org == {"budget": 3}
        assert view.failures[Scope.ORG]["half"].reason == "INTERNAL"
        await backend.state.org("o1", flow_kind="board").inc_state({"budget": 1})
        view = await anext(views)
        assert view.client_data.org == {"budget": 4, "half": 2}
        assert view.failures == {}
        _lose_sessions(server, monkeypatch)
        assert [view async for view in views] == []
        assert [view async for view in views] == [], "and stays at its end"
    await server.no_streams()


async def test_views_that_were_yielded_do_not_change(server: Hosted) -> None:
    async with server.client() as client, client.sessions.watch("s1") as views:
        first = await anext(views)
        await _set(server, count=1)
        second = await anext(views)
        assert first.client_data["session"]["count"] == 0
        assert second.client_data["session"]["count"] == 1


async def test_names_narrow_it_and_refusals_are_raised_at_once(server: Hosted) -> None:
    async with server.client() as client:
        names = {Scope.SESSION: ["double"], Scope.ORG: []}
        async with client.sessions.watch("s1", names=names) as views:
            view = await anext(views)
        assert view.client_data == {"session": {"double": 0}, "org": {"budget": 0, "half": 0}}
        with pytest.raises(InvalidArgument):
            await anext(client.sessions.watch("s1", names={Scope.SESSION: ["secret"]}))
        with pytest.raises(SessionNotFound):
            await anext(client.sessions.watch("never"))
        with pytest.raises(ResponseValidationError):
            await anext(client.sessions.watch("s1", model=dict[str, int]))
    await server.no_streams()


async def test_cut_connections_end_with_the_truth_and_nothing_is_repeated(server: Hosted) -> None:
    seen: list[Snapshot[BoardView]] = []
    async with (
        FaultProxy(server.address) as proxy,
        server.client(proxy.target) as client,
        asyncio.timeout(30),
        client.sessions.watch("s1", model=BoardView) as views,
    ):
        seen.append(await anext(views))
        for number in range(1, 31):
            await _set(server, count=number)
            if number % 5 == 3:
                proxy.cut()
            if number % 2:
                seen.append(await anext(views))
        while seen[-1].client_data.session.count < 30:
            seen.append(await anext(views))
    counts = [view.client_data.session.count for view in seen]
    assert counts == sorted(set(counts)), "each view is newer than the one before"
    assert all(view.client_data.session.double == 2 * view.client_data.session.count for view in seen)


async def test_ok_without_ended_is_resumed_and_an_equal_view_is_not_repeated(server: Hosted) -> None:
    config = replace(FAST, heartbeat_interval=0.05)
    async with GrpcProxy(server.address) as early, server.client(early.target, config) as client:
        early.end_streams_after(2, times=3)  # in place of the first heartbeat
        async with asyncio.timeout(20), client.sessions.watch("s1") as views:
            await anext(views)
            more = asyncio.ensure_future(anext(views))
            await until(lambda: early.calls.count("/flowstate.v1.SessionService/WatchSnapshot") == 4)
            assert not more.done()
            await _set(server, count=1)
            assert (await more).client_data["session"]["count"] == 1


async def test_a_session_that_goes_during_an_outage_ends_it(
    server: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FaultProxy(server.address) as proxy, server.client(proxy.target) as client:
        async with asyncio.timeout(20), client.sessions.watch("s1") as views:
            await anext(views)
            _lose_sessions(server, monkeypatch)
            proxy.cut()
            assert [view async for view in views] == []


async def test_an_outage_is_borne_as_long_as_is_said() -> None:
    async with hosted(board()) as server, server.client(org="o1") as client:
        await client.sessions.create("board", session_id="s1")
        async with FaultProxy(server.address) as proxy, server.client(proxy.target) as watcher:
            views = watcher.sessions.watch("s1", max_outage=0.3)
            await anext(views)
            await proxy.refuse()
            with pytest.raises(ConnectError):
                async with asyncio.timeout(10):
                    await anext(views)


async def test_heartbeats_keep_a_quiet_watch_alive(server: Hosted) -> None:
    config = replace(FAST, heartbeat_interval=0.1)
    async with GrpcProxy(server.address) as proxy, server.client(proxy.target, config) as client:
        async with client.sessions.watch("s1") as views:
            await anext(views)
            more = asyncio.ensure_future(anext(views))
            await asyncio.sleep(0.7)  # over twice the silence that the watchdog bears; nothing may happen
            await _set(server, count=1)
            await more
        assert proxy.calls.count("/flowstate.v1.SessionService/WatchSnapshot") == 1


async def test_leaving_the_loop_ends_it_on_the_server(server: Hosted) -> None:
    async with server.client() as client:
        async for _ in client.sessions.watch("s1"):
            break
        async with asyncio.timeout(10):
            await server.no_streams()


async def test_a_change_ahead_of_the_view_is_no_watch(
    server: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flowstate_server.engine.calls.logs import LogCursor
    from flowstate_server.engine.calls.watches import ShownScope, WatchCall, WatchChange
    from flowstate_server.model.scopes import ScopeKind

    async def confused(principal: Any, call: WatchCall) -> AsyncIterator[WatchChange]:
        yield WatchChange(LogCursor("log", 1), ShownScope(ScopeKind.SESSION, 1, {"count": "1"}))

    monkeypatch.setattr(server.engine.watches, "follow", confused)
    async with FlowStateClient.connect(server.address, user="u1", config=FAST) as client:
        with pytest.raises(ProtocolError, match="ahead of the view"):
            await anext(client.sessions.watch("s1"))
