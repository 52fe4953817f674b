"""A rolling deploy: servers that do not have the flow of a session yet, or any more, serve what they can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from flowstate_client import (
    ActionNotFound,
    FlowNotFound,
    FlowStateClient,
    StateChange,
    Trimmed,
    ValidationFailed,
)
from flowstate_server.app import create_flowstate
from flowstate_server.flows import ClientView, Context, Session, action, define_flow, handler
from flowstate_server.testing.fixtures import StartServer


class Count(BaseModel):
    n: int = 0
    secret: str = ""


@handler(session_state=Count)
async def bump(by: int, ctx: Context[Count]) -> int:
    await ctx.session.inc_state(n=by)
    await ctx.session.patch_state(secret="hidden")
    await ctx.status("bumped")
    return by


@handler(session_state=Count)
async def renamed(by: str, ctx: Context[Count]) -> str:
    return by


def _flow(kind: str, name: str = "bump", block: Any = bump) -> Any:
    shown = ClientView(expose=["n"])
    return define_flow(
        kind=kind,
        actions={name: action(block=block)},
        session=Session(state=Count, client=shown),
    )


class Deploy(NamedTuple):
    """Clients of a server with the flow ``count`` and of one without it, on one store; a trusted one of the former."""

    here: FlowStateClient
    there: FlowStateClient
    backend: FlowStateClient


@pytest.fixture
async def deploy(start_server: StartServer, shared_url: str) -> AsyncIterator[Deploy]:
    with_it = await start_server(create_flowstate(flows=[_flow("count")]), store=shared_url)
    without = await start_server(create_flowstate(flows=[_flow("other")]), store=shared_url)
    async with AsyncExitStack() as stack:
        yield Deploy(
            await stack.enter_async_context(with_it.connect(user="ada")),
            await stack.enter_async_context(without.connect(user="ada")),
            await stack.enter_async_context(with_it.connect(plane="trusted")),
        )


async def test_what_a_server_cant_show_of_a_log_does_not_pass_in_silence(deploy: Deploy) -> None:
    session = (await deploy.here.sessions.create("count")).id
    assert await deploy.here.flows.call("count", "bump", 1, session_id=session) == 1

    here = [event async for event in deploy.here.sessions.events(session, replay_only=True)]
    there = [event async for event in deploy.there.sessions.events(session, replay_only=True)]
    changes = [event for event in here if isinstance(event, StateChange)]
    assert len(changes) == 1
    assert not any(isinstance(event, Trimmed) for event in here)

    [gap] = [event for event in there if isinstance(event, Trimmed)]
    assert gap.first <= changes[0].session_sequence <= gap.last
    assert [event for event in there if not isinstance(event, Trimmed)] == [
        event for event in here if not isinstance(event, StateChange)
    ]
    assert gap.snapshot is None  # this server has none, and says so
    assert "hidden" not in str(there)


async def test_a_change_at_the_end_of_a_log_is_told_of_at_once(deploy: Deploy) -> None:
    session = (await deploy.here.sessions.create("count")).id
    told: list[Trimmed] = []
    wanted = [asyncio.Event(), asyncio.Event()]

    async def follow() -> None:
        async for event in deploy.there.sessions.events(session):
            if isinstance(event, Trimmed):
                told.append(event)
                wanted[len(told) - 1].set()
            if len(told) == len(wanted):
                return

    following = asyncio.create_task(follow())
    for change in wanted:
        await deploy.backend.state.session(session).inc_state(n=1)
        await asyncio.wait_for(change.wait(), 20)
    await following
    assert told[0].last < told[1].first


async def test_a_repeat_attaches_also_where_there_is_no_such_flow(deploy: Deploy) -> None:
    session = (await deploy.here.sessions.create("count")).id

    async def call(client: FlowStateClient, by: int = 1, request_id: str = "r1") -> Any:
        return await client.flows.call("count", "bump", by, session_id=session, request_id=request_id)

    assert await call(deploy.here) == 1
    assert await call(deploy.there) == 1
    assert (await deploy.backend.state.session(session).get()).state["n"] == 1
    run = await deploy.there.flows.dispatch("count", "bump", 1, session_id=session, request_id="r1")
    assert await run.result() == 1
    for other in ({"by": 2}, {"request_id": "r2"}):
        with pytest.raises(FlowNotFound):
            await call(deploy.there, **other)


@pytest.mark.parametrize("name", ["bump", "renamed"])
async def test_a_repeat_attaches_also_where_the_action_is_another(
    start_server: StartServer, shared_url: str, name: str
) -> None:
    """It takes other inputs there, or is not there at all."""
    old = await start_server(create_flowstate(flows=[_flow("count")]), store=shared_url)
    new = await start_server(create_flowstate(flows=[_flow("count", name, renamed)]), store=shared_url)
    async with old.connect(user="ada") as here, new.connect(user="ada") as there:
        for client in (here, there):
            assert await client.flows.call("count", "bump", 1, session_id="s", request_id="r1") == 1
        with pytest.raises((ValidationFailed, ActionNotFound)):
            await there.flows.call("count", "bump", 1, session_id="s", request_id="r2")
