"""For declarable types, each operation, from a block and from a client, on each store: what is read is what was
written, nothing else changes, equal writes are no change, and client view, ``state_change`` and GetState agree; or the
write is refused with the name of the field. There is no third outcome."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest

from flowstate_client import FlowStateClient, StateChange
from flowstate_server.flows import Context
from flowstate_server.testing.fixtures import StartServer
from tests.support.declared_flow import USUAL, DeclaredFlow, Walker, declared_flow


async def both_sides(start_server: StartServer, url: str, flow: DeclaredFlow) -> tuple[str, int]:
    """Walk through the types in a block and as a client; gives the session and how often something was written."""
    walkers: list[Walker] = []

    async def body(ctx: Context[Any, Any, Any, Any]) -> None:
        walker = Walker(ctx.session, trusted, ctx.session.id, in_block=True)
        walkers.append(walker)
        await walker.walk(flow)

    server = await start_server(flow.flow(body), store=url)
    async with server.connect(user="ada", plane="trusted") as trusted, server.connect(user="ada") as ada:
        session = (await trusted.sessions.create("declared")).id
        run = await ada.flows.dispatch("declared", "play", session_id=session)
        await run.result(timeout=50)
        await check_told(run, trusted, session)
        model = flow.model_of((await trusted.state.session(session).get()).state)
        for typed in (True, False):
            scope = trusted.state.session(session, model=model if typed else None)
            walkers.append(Walker(scope, trusted, session, in_block=False, typed=typed))
            await walkers[-1].walk(flow)
    await server.stop()
    return session, sum(walker.writes for walker in walkers)


async def check_told(run: Any, trusted: FlowStateClient, session: str) -> None:
    """The changes that a client was told make what is stored."""
    told: dict[str, Any] = {}
    stale: set[str] = set()
    async for event in run.events():
        if isinstance(event, StateChange):
            stale.update(event.stale)
            for pointer in event.removed:
                node, name = place(told, pointer)
                del node[name]
            for pointer, value in event.changed.items():
                node, name = place(told, pointer)
                node[name] = value
    stored = (await trusted.state.session(session).get()).state
    for name in stale:
        told[name] = stored[name]
    assert told == stored


def place(node: Any, pointer: str) -> tuple[Any, str]:
    """The object that a pointer leads into, and the member."""
    *way, last = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    for step in way:
        node = node[step]
    return node, last


@pytest.mark.parametrize("half", [0, 1])  # in one go it would take a minute where the machine is busy
async def test_values_are_the_same_for_everybody_on_each_store(
    start_server: StartServer, store_url: str, half: int
) -> None:
    _, writes = await both_sides(start_server, store_url, DeclaredFlow(USUAL().fields[half::2]))
    assert writes > 75


async def test_equal_values_are_no_change_in_another_process(
    start_server: StartServer, durable_url: str
) -> None:
    flow = USUAL()

    async def body(ctx: Context[Any, Any, Any, Any]) -> None:
        for field in flow.fields:
            if field.declared.taken:
                await ctx.session.patch_state({field.name: field.values[-1]})

    server = await start_server(flow.flow(body), store=durable_url)
    async with server.connect(user="ada", plane="trusted") as client:
        session = (await client.sessions.create("declared")).id
        await client.flows.call("declared", "play", session_id=session, timeout=30)
    await server.stop()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.declared_flow", durable_url, session),
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert int(out) > 20


@pytest.mark.soak
@pytest.mark.parametrize("_round", range(2))
async def test_values_of_very_many_types_on_each_store(
    start_server: StartServer, store_url: str, _round: int
) -> None:
    await both_sides(start_server, store_url, declared_flow(40, 3, random=True))
