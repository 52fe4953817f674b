"""The server that authors start in their own tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowstate_client import ConnectError
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.testing.server import running_server
from tests.support.flows import app


@handler
async def greet(name: str, ctx: Context) -> str:
    return f"Hello, {name}!"


greeter = define_flow(kind="greeter", actions={"greet": action(block=greet)})


async def test_it_serves_a_flow_over_a_port() -> None:
    async with running_server(greeter) as server, server.connect(user="ada") as client:
        assert await client.flows.call("greeter", "greet", "Ada") == "Hello, Ada!"


async def test_it_serves_several_flows_over_a_socket_file(tmp_path: Path) -> None:
    async with running_server([greeter], listen=f"unix:{tmp_path}/socket") as server:
        async with server.connect(user="ada") as client:
            assert await client.flows.call("greeter", "greet", "Ada") == "Hello, Ada!"


async def test_each_has_a_store_of_its_own_unless_told_otherwise(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/flowstate.db"
    versions = []
    for store in (None, None, url, url):
        async with running_server(app, store=store) as server, server.connect(user="ada") as client:
            versions.append(await client.flows.call("ledger", "bump", {}, session_id="s"))
    assert versions == [1, 1, 1, 2]


async def test_it_can_be_stopped_before_its_end() -> None:
    async with running_server(greeter) as server, server.connect(user="ada") as client:
        await server.stop()
        await server.stop()
        with pytest.raises(ConnectError):
            await client.ready(timeout=0.2)


async def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="loopback"):
        async with running_server(greeter, listen="0.0.0.0:0"):
            pass
