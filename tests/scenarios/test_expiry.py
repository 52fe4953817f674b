"""Sessions that end by themselves, once nothing has happened in them for as long as their flow says."""

from __future__ import annotations

import asyncio
import logging

import pytest

from flowstate_client import FlowStateClient, SessionNotFound
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import Context, Flow, Session, action, define_flow, handler
from flowstate_server.model.clock import Seconds
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.waiting import until

SETTINGS = EngineSettings(lease=Seconds(0.6))


@handler
async def speak(text: str, ctx: Context) -> str:
    return text


@handler
async def hold(value: None, ctx: Context) -> None:
    await asyncio.sleep(3600)


def _flow(kind: str, ttl: float | None = None, ephemeral_ttl: float | None = None) -> Flow:
    return define_flow(
        kind=kind,
        actions={"speak": action(block=speak), "hold": action(block=hold)},
        session=Session(ttl=ttl, ephemeral_ttl=ephemeral_ttl),
    )


async def _is_gone(client: FlowStateClient, session_id: str) -> bool:
    try:
        await client.sessions.get(session_id)
    except SessionNotFound:
        return True
    return False


async def test_idle_sessions_go_and_others_stay(
    start_server: StartServer, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither one in which something goes on, nor one with an open request, nor those of another flow."""
    caplog.set_level(logging.INFO, "flowstate_server.engine.records.expiry")
    flows = [_flow("short", ttl=0.5, ephemeral_ttl=0.5), _flow("lasting")]
    server = await start_server(flows, store=store_url, settings=SETTINGS)
    async with server.connect(user="ada") as ada:
        await ada.sessions.create("short", session_id="idle")
        await ada.sessions.create("lasting", session_id="lasting")
        ephemeral = (await (await ada.flows.dispatch("short", "speak", "a")).get()).session_id
        held = await ada.flows.dispatch("short", "hold", None, session_id="open")
        lasting = (await (await ada.flows.dispatch("lasting", "speak", "a")).get()).session_id

        async def gone() -> bool:
            await ada.flows.call("short", "speak", "b", session_id="busy")
            return await _is_gone(ada, "idle") and await _is_gone(ada, ephemeral)

        await until(gone, every=0.05)
        for session_id in ("busy", "open", "lasting", lasting):
            assert not await _is_gone(ada, session_id), session_id
        await held.cancel()
        await until(lambda: _is_gone(ada, "open"))
    assert "sessions of flow 'short', idle for their lifetime, are deleted" in caplog.text
    assert "'lasting'" not in caplog.text


async def test_sessions_that_are_only_noted_in_or_found_stay(
    start_server: StartServer, store_url: str
) -> None:
    server = await start_server([_flow("short", ttl=0.5)], store=store_url, settings=SETTINGS)
    async with server.connect(plane="trusted") as backend:
        for session_id in ("idle", "noted"):
            await backend.sessions.create("short", session_id=session_id, user_id="ada")
        found = await backend.sessions.resolve("short", user_id="ada", metadata={"a": 1})

        async def gone() -> bool:
            await backend.journal.append("noted", "text")
            again = await backend.sessions.resolve("short", user_id="ada", metadata={"a": 1})
            assert again.id == found.id
            return await _is_gone(backend, "idle")

        await until(gone, every=0.05)
        await until(gone, every=0.05)
        for session_id in ("noted", found.id):
            assert not await _is_gone(backend, session_id), session_id
        noted, before = (await backend.sessions.get(found.id)).last_activity_time, found.last_activity_time
        assert noted is not None
        assert before is not None
        assert noted > before


async def test_sessions_of_flows_that_are_not_served_stay(start_server: StartServer, store_url: str) -> None:
    short, other = _flow("short", ttl=0.2), _flow("other", ttl=0.2)
    server = await start_server([short, other], store=store_url, settings=EngineSettings())
    await server.engine.sweeper.close()
    async with server.connect(user="ada") as ada:
        await ada.sessions.create("short", session_id="short")
        await ada.sessions.create("other", session_id="other")
        server.engine.catalogue.unregister("other")
        await server.engine.expiry.lap()

        async def gone() -> bool:
            await server.engine.expiry.lap()
            return await _is_gone(ada, "short")

        await until(gone, every=0.05)
        assert not await _is_gone(ada, "other")
