"""The server in a process of its own that authors start in their tests."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from flowstate_client import FlowStateClient
from flowstate_server.testing.server_process import ServerProcess, server_process, server_processes
from flowstate_server.testing.waiting import soon, until
from tests.support.flows import APP

CALLED = "FlowService/CallAction OK"


async def _bumped(server: ServerProcess) -> int:
    async with FlowStateClient.connect(server.target, user="ada") as client:
        return await client.flows.call("ledger", "bump", {}, output=int, session_id="s")


async def test_killed_and_started_again_it_goes_on_where_it_was(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/flowstate.db"
    async with server_process(APP, store=store, log_level="debug", lease=1.0) as server:
        assert await _bumped(server) == 1
        await until(lambda: CALLED in server.log)
        target, pid = server.target, server.pid
        server.kill()
        assert not server.running
        await server.start()
        assert await _bumped(server) == 2
        assert (server.target, server.pid != pid) == (target, True)
        await until(lambda: server.log.count(CALLED) == 2, what="the logs of both")


async def test_terminated_it_says_so_and_ends_well() -> None:
    async with server_process(APP) as server:
        ending = asyncio.create_task(server.terminate())
        await soon(server.told("stopping"))
        assert await soon(ending) == 0


async def test_paused_it_answers_nothing_until_it_is_resumed() -> None:
    async with server_process(APP) as server:
        server.pause()
        waiting = asyncio.create_task(_bumped(server))
        await asyncio.wait((waiting,), timeout=0.1)
        assert not waiting.done()
        server.resume()
        assert await soon(waiting) == 1


async def test_settings_are_those_of_the_server_and_not_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWSTATE_LEASE", "soon")
    async with server_process(APP) as server:
        assert await _bumped(server) == 1
    with pytest.raises(AssertionError, match="FLOWSTATE_LEASE"):
        await _start(lease="soon")


async def test_a_server_that_can_not_start_shows_its_log() -> None:
    with pytest.raises(AssertionError, match=r"ended without saying 'listening'(?s:.)*nowhere"):
        await _start("nowhere:app")


async def test_what_fails_in_the_block_has_the_logs_in_its_notes() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        await _fail_beside_two()
    notes = "".join(raised.value.__notes__)
    assert notes.count("log of the server on 127.0.0.1:") == 2
    assert notes.count(CALLED) == 1


async def _start(app: str = APP, **settings: object) -> None:
    async with server_process(app, **settings):
        raise AssertionError("it started")


async def _fail_beside_two() -> None:
    async with server_processes(2, APP, log_level="debug") as (one, _):
        await _bumped(one)
        await until(lambda: CALLED in one.log)
        raise ZeroDivisionError
