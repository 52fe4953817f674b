"""A server that is killed and started again ends what it ran at once: the lock that it held is free."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flowstate_client import ActionInterrupted, FlowStateClient, RequestStatus
from flowstate_server.testing.server_process import server_process
from tests.support.flows import APP

LEASE = 30.0


@pytest.mark.parametrize("kind", ["sqlite", "file"])
async def test_w9_what_a_killed_server_ran_ends_when_it_is_started_again(tmp_path: Path, kind: str) -> None:
    url = f"{kind}:///{tmp_path / 'store'}".replace("file:////", "file:///")
    async with server_process(APP, store=url, lease=LEASE) as server:
        async with FlowStateClient.connect(server.target, plane="trusted", user="ada") as client:
            run = await client.flows.dispatch("ledger", "hold", {"seconds": 3600.0}, session_id="s")
            server.kill()
            checked = await asyncio.to_thread(check, url)
            assert checked == {"event": "checked", "problems": 0}  # nobody uses it
            began = time.monotonic()
            await server.start()
        async with FlowStateClient.connect(server.target, plane="trusted", user="ada") as client:
            with pytest.raises(ActionInterrupted):
                await client.flows.handle(run.request_id).result(timeout=20.0)
            assert time.monotonic() - began < LEASE / 3
        assert "is gone and is fenced" in server.log


async def test_w9_a_stopped_server_is_not_taken_for_dead(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with (
        server_process(APP, store=url, lease=LEASE) as stopped,
        server_process(APP, store=url) as other,
    ):
        async with FlowStateClient.connect(stopped.target, plane="trusted", user="ada") as client:
            run = await client.flows.dispatch("ledger", "hold", {"seconds": 3600.0}, session_id="s")
            stopped.pause()
            await asyncio.sleep(6.0)  # at least one sweep, in which nothing may happen
            stopped.resume()
            assert (await run.get()).status is RequestStatus.IN_PROGRESS
        assert "fenced" not in other.log


def check(url: str) -> object:
    command = [sys.executable, "-m", "flowstate_server", "store", "check", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return json.loads(done.stdout)
