"""Server processes whose flows conflict, on one store: refused at their start, by the living and not by the dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flowstate_client import FlowStateClient
from flowstate_server.testing.server_process import ServerProcess, server_process
from tests.support.store_urls import SHARED, NewStore, new_stores

CHAT, ADMIN = "tests.support.deploys:served", "tests.support.deploys:neighbour"
LEASE = 1.5


@pytest.fixture(params=SHARED)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    async with new_stores(tmp_path) as make:
        new_store: NewStore = make
        yield await new_store(request.param)


async def refused(app: str, url: str) -> tuple[int, str]:
    """The exit code of a server that does not come to serve, and what it said on stderr."""
    server = ServerProcess(app, store=url, lease=LEASE)
    try:
        with pytest.raises(AssertionError, match="the server ended without saying 'listening'"):
            await server.start()
        return await asyncio.to_thread(server.process.wait, 20), server.log
    finally:
        server.close()


async def answer_of(server: ServerProcess) -> Exception | None:
    """What its start raised."""
    (answer,) = await asyncio.gather(server.start(), return_exceptions=True)
    return answer if isinstance(answer, Exception) else None


async def test_a_conflict_with_a_living_server_ends_the_start(url: str) -> None:
    async with server_process(CHAT, store=url, lease=LEASE) as chat:
        code, log = await refused(ADMIN, url)
        assert code == 2
        line = log.splitlines()[-1]
        assert line.startswith(
            'flowstate: Flows "chat" and "admin" declare incompatible user state schemas (incompatible-shape: field '
            '"theme": str vs int). Set isolate_user_state=True on one of the flows to opt out of cross-flow sharing, '
            'or reconcile the schemas. Flow "chat" is served by process proc_'
        )
        async with server_process(ADMIN, store=url, lease=LEASE, allow_schema_conflict="true") as admin:
            assert "served all the same, as it was allowed: Flows" in admin.log
            for server, flow in ((chat, "chat"), (admin, "admin")):
                async with FlowStateClient.connect(server.target, user="ada") as client:
                    await client.flows.call(flow, "act", None)


async def test_a_dead_server_is_in_nobodys_way_for_longer_than_its_lease(url: str) -> None:
    async with server_process(CHAT, store=url, lease=LEASE) as chat:
        chat.kill()
        admin = ServerProcess(ADMIN, store=url, lease=LEASE)
        refusals = 0
        try:
            async with asyncio.timeout(20):
                while isinstance(await answer_of(admin), AssertionError):
                    refusals += 1
            assert admin.log.count("incompatible user state schemas") == refusals
        finally:
            admin.close()


async def test_of_processes_that_start_at_once_one_flow_is_served(url: str) -> None:
    servers = [ServerProcess(app, store=url, lease=LEASE) for app in (CHAT, ADMIN, CHAT, ADMIN)]
    try:
        answers = await asyncio.gather(*map(answer_of, servers))
        apps = {server.app for server, answer in zip(servers, answers, strict=True) if answer is None}
        assert len(apps) <= 1
        for server, answer in zip(servers, answers, strict=True):
            if answer is not None:
                assert await asyncio.to_thread(server.process.wait, 20) == 2
                assert "incompatible user state schemas" in server.log
    finally:
        for server in servers:
            server.close()
