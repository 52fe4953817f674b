"""How much of a session that lives is kept: whole turns, the oldest going first, with all that they had."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from flowstate_client import ActionFailed, EventsCompacted, FlowStateClient, RequestNotFound
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import (
    ActionError,
    Context,
    Flow,
    Retention,
    Session,
    action,
    define_flow,
    handler,
)
from flowstate_server.model.clock import Seconds
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.server import RunningServer
from flowstate_server.testing.waiting import until

SETTINGS = EngineSettings(lease=Seconds(0.6))


@handler
async def talk(text: str, ctx: Context) -> list[str]:
    seen = [item.text for item in await ctx.session.items.history()]
    await ctx.add_item("message", text, role="user")
    return seen


@handler
async def fail(text: str, ctx: Context) -> None:
    raise ActionError("NO_WAY", text)


@handler
async def hold(value: None, ctx: Context) -> None:
    await asyncio.sleep(3600)


def _flow(**retention: Any) -> Flow:
    return define_flow(
        kind="chat",
        actions={"talk": action(block=talk), "fail": action(block=fail), "hold": action(block=hold)},
        session=Session(retention=Retention(**retention)),
    )


async def _swept(server: RunningServer) -> None:
    """A server that sweeps when it is told to, and at no other time."""
    await server.engine.sweeper.close()


async def _floor(server: RunningServer) -> int:
    projection = await server.engine.store.read_projection(SessionKey(NO_TENANT, "s"), ())
    assert projection is not None
    return projection.head.floor


async def _say(client: FlowStateClient, text: str) -> list[str]:
    return await client.flows.call("chat", "talk", text, session_id="s", request_id=text, output=list[str])


async def test_the_newest_turns_are_kept(start_server: StartServer, store_url: str) -> None:
    server = await start_server(_flow(max_turns=3), store=store_url, settings=SETTINGS)
    await _swept(server)
    async with server.connect(user="ada") as ada:
        for number in range(30):
            await _say(ada, f"t{number}")
            if number == 20:
                with pytest.raises(ActionFailed, match="old"):
                    await ada.flows.call("chat", "fail", "old", session_id="s", request_id="old failure")
        with pytest.raises(ActionFailed, match="new"):
            await ada.flows.call("chat", "fail", "new", session_id="s", request_id="new failure")
        await server.engine.expiry.lap()
        assert await _say(ada, "next") == ["t27", "t28", "t29"]
        for gone in ("t0", "t26", "old failure"):
            await _is_removed(ada, gone)
        for kept in ("t27", "t29", "new failure"):
            assert (await ada.flows.handle(kept).get()).request_id == kept
            assert [event async for event in ada.flows.handle(kept).events()]
        assert await _floor(server) > 0
        await server.engine.expiry.lap()  # "next" is one more
        await _is_removed(ada, "t27")


async def _is_removed(client: FlowStateClient, request_id: str) -> None:
    """Reads say that it is not there, its tail that it was, and it is not run again."""
    run = client.flows.handle(request_id)
    for call in (
        run.get(),
        run.cancel(),
        client.flows.dispatch("chat", "talk", request_id, session_id="s", request_id=request_id),
    ):
        with pytest.raises(RequestNotFound):
            await call
    with pytest.raises(EventsCompacted) as compacted:
        [event async for event in run.events()]
    assert int(compacted.value.metadata["earliest"]) == int(compacted.value.metadata["latest"]) + 1


async def test_nobody_else_learns_that_there_was_a_request(start_server: StartServer) -> None:
    server = await start_server(_flow(max_turns=1), settings=SETTINGS)
    await _swept(server)
    async with server.connect(user="ada") as ada, server.connect(user="eve") as eve:
        for text in ("a", "b"):
            await _say(ada, text)
        await server.engine.expiry.lap()
        await _is_removed(ada, "a")
        with pytest.raises(RequestNotFound):
            [event async for event in eve.flows.handle("a").events()]


async def test_what_is_too_old_goes(start_server: StartServer, store_url: str) -> None:
    """Whatever its status; not what is open, nor what is younger."""
    server = await start_server(_flow(max_age=1.0), store=store_url, settings=SETTINGS)
    await _swept(server)
    async with server.connect(user="ada") as ada:
        held = await ada.flows.dispatch("chat", "hold", None, session_id="s", request_id="open")
        await _say(ada, "old")
        with pytest.raises(ActionFailed, match="why"):
            await ada.flows.call("chat", "fail", "why", session_id="s", request_id="failed")
        ended = time.monotonic()

        async def gone() -> bool:
            await server.engine.expiry.lap()
            return await server.engine.store.get_request(RequestKey(NO_TENANT, "failed")) is None

        await until(gone, every=0.05)
        assert time.monotonic() - ended > 0.9
        await _say(ada, "young")
        await server.engine.expiry.lap()
        for request_id in ("old", "failed"):
            await _is_removed(ada, request_id)
        assert (await ada.flows.handle("open").get()).status == "in_progress"
        assert (await ada.flows.handle("young").get()).status == "completed"
        await held.cancel()
        assert [event.type async for event in held.events()][-1] == "request.aborted"


async def test_it_goes_on_by_itself(start_server: StartServer, durable_url: str) -> None:
    """Without being told to, while turns are made; after a restart nothing is back."""
    settings = EngineSettings(lease=Seconds(0.3), tombstone_retention=Seconds(1.0))
    server = await start_server(_flow(max_age=0.5), store=durable_url, settings=settings)
    async with server.connect(user="ada") as ada:
        for number in range(40):
            await _say(ada, f"t{number}")
            await asyncio.sleep(0.03)  # so that some are old when others are made
        assert await _floor(server) > 0
        await until(lambda: _runs_anew(ada))
        await until(lambda: _is_forgotten(ada, "t39"))


async def _runs_anew(client: FlowStateClient) -> bool:
    """Once the id of a removed request is forgotten it counts as new."""
    try:
        await _say(client, "t0")
    except RequestNotFound:
        return False
    return True


async def _is_forgotten(client: FlowStateClient, text: str) -> bool:
    return text not in await client.flows.call("chat", "talk", "?", session_id="s", output=list[str])
