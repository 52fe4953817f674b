"""``run.events().with_view(...)``: events, each with a view that is as new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import (
    CustomEvent,
    DeadlineExceeded,
    Moment,
    RequestCompleted,
    RequestCreated,
    RequestNotFound,
    Scope,
    StateChange,
    Unavailable,
)
from flowstate_client.testing import GrpcProxy
from flowstate_server.errors import StoreUnavailableError
from flowstate_server.flows import Audience, ClientView, Context, Session, User
from tests.support.hosted import Hosted, hosted, play

SNAPSHOT = "/flowstate.v1.SessionService/GetSnapshot"


class Counted(BaseModel):
    count: int = 0
    hidden: int = 0


class Liking(BaseModel):
    theme: str = "light"


class Shown(BaseModel):
    count: int
    double: int


class ScreenView(BaseModel):
    session: Shown
    user: Liking


@pytest.fixture
async def server() -> AsyncIterator[Hosted]:
    async def count(ctx: Context[Any, Any, Any, Any]) -> int:
        for number in range(1, 6):
            await ctx.emit("step", number, audience=Audience.CLIENT)
            await ctx.session.inc_state({"count": 1})
            await ctx.session.inc_state({"hidden": 1})
        return 5

    async def quiet(ctx: Context[Any, Any, Any, Any]) -> None:
        for number in range(20):
            await ctx.emit("step", number, audience=Audience.CLIENT)

    flow = play(
        {"count": count, "quiet": quiet},
        session=Session(
            state=Counted,
            client=ClientView(expose=["count"], derived={"double": lambda view: view.state.count * 2}),
        ),
        user=User(state=Liking, client=ClientView(expose=["theme"])),
    )
    async with hosted(flow) as server:
        yield server


def _check(moments: list[Moment[ScreenView]]) -> None:
    """Each view is at least as new as its event, and none is older than the one before."""
    newest = 0
    for event, view in moments:
        if isinstance(event, StateChange) and event.scope is Scope.SESSION:
            assert view.cursor.sequence >= event.session_sequence
            if "/count" in event.changed:
                assert view.client_data.session.count >= event.changed["/count"]
        assert view.cursor.sequence >= newest
        assert view.client_data.session.double == 2 * view.client_data.session.count
        newest = view.cursor.sequence
    last, view = moments[-1]
    assert isinstance(last, RequestCompleted)
    assert view.cursor.sequence >= last.session_sequence


async def test_a_live_run_with_its_view(server: Hosted) -> None:
    async with asyncio.timeout(20), server.client() as client:
        stream = client.flows.stream("play", "count", {}, session_id="s1")
        async with stream.with_view(ScreenView) as moments:
            seen = [moment async for moment in moments]
    _check(seen)
    assert isinstance(seen[0].event, RequestCreated)
    assert [event.data for event, _ in seen if isinstance(event, CustomEvent)] == [1, 2, 3, 4, 5]
    assert seen[-1].view.client_data.session == Shown(count=5, double=10)


async def test_a_replay_costs_one_reading_and_a_quiet_run_two(server: Hosted) -> None:
    async with GrpcProxy(server.address) as proxy, server.client(proxy.target) as client:
        await server.run("r1", "count", session_id="s1")
        seen = [moment async for moment in client.flows.handle("r1").events().with_view(ScreenView)]
        _check(seen)
        assert proxy.calls.count(SNAPSHOT) == 1
        stream = client.flows.stream("play", "quiet", {}, session_id="s1")
        seen = [moment async for moment in stream.with_view(ScreenView)]
        _check(seen)
        assert 2 <= proxy.calls.count(SNAPSHOT) <= 3


async def test_at_the_end_what_others_changed_is_shown_too(server: Hosted) -> None:
    async with server.client() as client, server.client(plane="trusted") as backend:
        stream = client.flows.stream("play", "quiet", {}, session_id="s1")
        async with stream.with_view(ScreenView) as moments:
            first = await anext(moments)
            assert first.view.client_data.user.theme == "light"
            await backend.state.user("u1", flow_kind="play").patch_state({"theme": "dark"})
            async for event, view in moments:
                if isinstance(event, RequestCompleted) and view.cursor.sequence > first.view.cursor.sequence:
                    assert view.client_data.user.theme == "dark"


async def test_a_cancelled_wait_for_the_view_loses_no_event(
    server: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_projection = server.engine.store.read_projection
    slow = asyncio.Event()

    async def waits(*arguments: Any) -> Any:
        await slow.wait()
        return await read_projection(*arguments)

    await server.run("r1", "count", session_id="s1")
    monkeypatch.setattr(server.engine.store, "read_projection", waits)
    async with server.client() as client:
        moments = client.flows.handle("r1").events().with_view(ScreenView)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await anext(moments)
        slow.set()
        seen = [moment async for moment in moments]
    assert isinstance(seen[0].event, RequestCreated)
    _check(seen)


async def test_an_outage_of_the_view_is_waited_for_unless_it_is_limited(
    server: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_projection = server.engine.store.read_projection
    failures = 3

    async def broken(*arguments: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreUnavailableError
        return await read_projection(*arguments)

    await server.run("r1", "count", session_id="s1")
    monkeypatch.setattr(server.engine.store, "read_projection", broken)
    async with asyncio.timeout(20), server.client() as client:
        seen = [moment async for moment in client.flows.handle("r1").events().with_view(ScreenView)]
        _check(seen)
        failures = 10**9
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await anext(client.flows.handle("r1").events(max_outage=0.2).with_view())


async def test_names_narrow_the_view_and_refusals_are_raised(server: Hosted) -> None:
    await server.run("r1", "count", session_id="s1")
    async with server.client() as client:
        events = client.flows.handle("r1").events()
        moments = [moment async for moment in events.with_view(names={Scope.SESSION: ["count"]})]
        assert moments[-1].view.client_data == {"session": {"count": 5}}
        with pytest.raises(RequestNotFound):
            await anext(client.flows.handle("never").events().with_view())
