"""A server in a process of its own ends when it is told to, and not before, whatever the code of its flows does."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from flowstate_client import ActionFailed, ApiError, FlowStateClient
from flowstate_server.testing.server_process import ServerProcess, server_process
from flowstate_server.testing.waiting import until
from tests.support.hostile_flows import KIND, KINDS
from tests.support.store_urls import ALL, new_store_url

APP = "tests.support.hostile_flows:app"


@asynccontextmanager
async def serving(store: str, folder: Path) -> AsyncIterator[tuple[ServerProcess, FlowStateClient]]:
    async with (
        new_store_url(store, folder) as url,
        server_process(APP, store=url, drain_grace=1.0, cancel_grace=0.5) as server,
        FlowStateClient.connect(server.target, user="u", plane="trusted") as client,
    ):
        yield server, client


@pytest.mark.parametrize("store", ALL)
async def test_f1_a_server_outlives_whatever_its_flows_raise(store: str, tmp_path: Path) -> None:
    async with serving(store, tmp_path) as (server, client):
        beside = await client.flows.dispatch(KIND, "wait", {}, session_id="beside")
        for place in ("block", "awaited task", "task group"):
            for kind in ("system exit", "keyboard interrupt"):
                with pytest.raises(ActionFailed):
                    await client.flows.call(KIND, "at", {"place": place, "kind": kind}, timeout=20.0)
        assert await beside.result(timeout=20.0) == 10
        assert await server.terminate() == 0


@pytest.mark.parametrize("store", ALL)
async def test_f1_whatever_a_callback_or_a_task_that_is_left_raises_ends_nothing(
    store: str, tmp_path: Path
) -> None:
    async with serving(store, tmp_path) as (server, client):
        beside = await client.flows.dispatch(KIND, "wait", {}, session_id="beside")
        for kind in KINDS:
            assert await client.flows.call(KIND, "call_back", {"kind": kind}, timeout=20.0) == "called"
            assert await client.flows.call(KIND, "leave_task", {"kind": kind}, timeout=20.0) == "left"
        assert await beside.result(timeout=20.0) == 10
        assert "a callback or task of a flow raised SystemExit" in server.log
        assert "a callback or task of a flow raised KeyboardInterrupt" in server.log
        assert await server.terminate() == 0


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_f1_threads_that_are_left_do_not_keep_the_process(store: str, tmp_path: Path) -> None:
    async with serving(store, tmp_path) as (server, client):
        assert await client.flows.call(KIND, "cling_to_thread", {"seconds": 60}, timeout=20.0) == "left"
        began = time.monotonic()
        assert await server.terminate() == 0
        assert time.monotonic() - began < 8.0


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_f1_a_flow_that_stops_the_loop_stops_nothing(store: str, tmp_path: Path) -> None:
    async with serving(store, tmp_path) as (server, client):
        beside = await client.flows.dispatch(KIND, "wait", {}, session_id="beside")
        for _ in range(3):
            assert await client.flows.call(KIND, "stop_loop", {}, timeout=20.0) == "stopped"
        assert await beside.result(timeout=20.0) == 10
        assert "a flow has stopped the event loop" in server.log
        assert await server.terminate() == 0


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_f1_a_process_whose_tasks_are_all_cancelled_ends(store: str, tmp_path: Path) -> None:
    """There is nothing left that could serve: who started it finds out, and starts it anew."""
    async with serving(store, tmp_path) as (server, client):
        calling = asyncio.ensure_future(client.flows.dispatch(KIND, "cancel_all", {}))
        assert await asyncio.wait_for(asyncio.to_thread(server.process.wait), 10.0) == 1
        calling.cancel()
        with suppress(ApiError, asyncio.CancelledError):
            await calling


@pytest.mark.parametrize("how", ["asleep", "busy", "away"])
async def test_f15_the_second_signal_ends_a_blocked_server_within_two_seconds(
    how: str, tmp_path: Path
) -> None:
    async with serving("sqlite", tmp_path) as (server, client):
        await client.flows.dispatch(KIND, "block_loop", {"seconds": 50, "how": how})
        await until(lambda: "the event loop has been blocked" in server.log)
        server.process.terminate()
        await asyncio.sleep(0.5)  # two signals at once are one
        began = time.monotonic()
        assert await server.terminate() == 1
        assert time.monotonic() - began < 2.0
        assert "stopped before every run had ended" in server.log


@pytest.mark.parametrize(
    ("store", "how"), [*((store, "slow") for store in ALL), ("sqlite", "thread"), ("sqlite", "busy")]
)
async def test_f15_the_second_signal_ends_a_server_whatever_its_threads_do(
    store: str, how: str, tmp_path: Path
) -> None:
    async with serving(store, tmp_path) as (server, client):
        if how == "thread":
            await client.flows.dispatch(KIND, "block_thread", {"seconds": 50})
        else:
            with pytest.raises(ActionFailed):
                await client.flows.call(KIND, "write_text", how, timeout=20.0)
        await client.flows.dispatch(KIND, "wait", {"seconds": 50})
        await _end_by_two_signals(server)


async def test_f15_the_second_signal_ends_a_server_whose_store_hangs(tmp_path: Path) -> None:
    async with serving("sqlite", tmp_path) as (server, client):
        await client.flows.dispatch(KIND, "wait", {"seconds": 50}, session_id="s")
        other = sqlite3.connect(tmp_path / "flowstate.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await _end_by_two_signals(server)
        other.close()


async def _end_by_two_signals(server: ServerProcess) -> None:
    server.process.terminate()
    await asyncio.sleep(0.3)  # two signals at once are one
    began = time.monotonic()
    assert await server.terminate() == 1
    assert time.monotonic() - began < 2.0


async def test_f15_the_first_signal_ends_a_blocked_server_within_its_limits(tmp_path: Path) -> None:
    async with serving("memory", tmp_path) as (server, client):
        await client.flows.dispatch(KIND, "block_loop", {"seconds": 50})
        await until(lambda: "the event loop has been blocked" in server.log)
        began = time.monotonic()
        assert await server.terminate() == 1
        assert time.monotonic() - began < 1.0 + 2 * 0.5 + 10.0 + 3.0
