"""A handler that blocks the event loop: it costs no lease, and the log names it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from flowstate_client import ActionFailed, FlowStateClient
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import ClientView, Context, Session, View, action, define_flow, handler
from flowstate_server.model.clock import Seconds
from flowstate_server.testing.server import running_server
from flowstate_server.testing.server_process import server_process, server_processes
from tests.support.hostile_flows import KIND
from tests.support.store_urls import SHARED, new_store_url

APP = "tests.support.hostile_flows:app"
LEASE = 1.0


@pytest.mark.parametrize("store", SHARED)
async def test_u10_a_loop_that_is_blocked_for_three_leases_costs_no_run(store: str, tmp_path: Path) -> None:
    async with (
        new_store_url(store, tmp_path) as url,
        server_processes(2, APP, store=url, lease=LEASE) as (blocked, other),
        FlowStateClient.connect(blocked.target, user="u", plane="trusted") as client,
    ):
        before = (await client.server.info()).instance_id
        neighbour = await client.flows.dispatch(KIND, "wait", {"seconds": 4}, session_id="beside")
        run = await client.flows.dispatch(KIND, "block_loop", {"seconds": 3 * LEASE})
        assert await run.result(timeout=30.0) == "blocked"
        assert await neighbour.result(timeout=30.0) == 10
        assert (await client.server.info(refresh=True)).instance_id == before
        assert f'handler "block_loop" of request {run.request_id}' in blocked.log
        assert blocked.log.count("the event loop has been blocked") == 1
        assert "fell silent" not in other.log


@pytest.mark.parametrize("store", ["memory", "file"])
async def test_u10_nor_where_one_process_has_the_store_for_itself(store: str, tmp_path: Path) -> None:
    async with (
        new_store_url(store, tmp_path) as url,
        server_process(APP, store=url, lease=LEASE) as blocked,
        FlowStateClient.connect(blocked.target, user="u", plane="trusted") as client,
    ):
        before = (await client.server.info()).instance_id
        neighbour = await client.flows.dispatch(KIND, "wait", {"seconds": 4}, session_id="beside")
        run = await client.flows.dispatch(KIND, "block_loop", {"seconds": 3 * LEASE})
        assert await run.result(timeout=30.0) == "blocked"
        assert await neighbour.result(timeout=30.0) == 10
        assert (await client.server.info(refresh=True)).instance_id == before
        assert f'handler "block_loop" of request {run.request_id}' in blocked.log


async def test_u10_after_a_limit_without_a_turn_the_process_may_be_fenced(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'flowstate.db'}"
    async with (
        server_process(APP, store=url, lease=LEASE, hung_after=0.5) as hung,
        server_process(APP, store=url, lease=LEASE) as other,
        FlowStateClient.connect(hung.target, user="u", plane="trusted") as client,
        FlowStateClient.connect(other.target, user="u", plane="trusted") as elsewhere,
    ):
        run = await client.flows.dispatch(KIND, "block_loop", {"seconds": 20})
        with pytest.raises(ActionFailed, match="INTERRUPTED"):
            await elsewhere.flows.handle(run.request_id).result(timeout=15.0)
        assert "is renewed no more" in hung.log
        hung.kill()


class Empty(BaseModel):
    pass


def hold_up() -> None:
    time.sleep(1.5)  # long enough for a busy machine to notice


async def _block_in_task(value: None, ctx: Context) -> None:
    async def nested() -> None:
        hold_up()

    await asyncio.create_task(nested())


@handler
async def child(value: None, ctx: Context) -> None:
    hold_up()


async def _block_in_child(value: None, ctx: Context) -> None:
    await ctx.execute(child, None)


BLOCKS = {
    "task": (_block_in_task, 'handler "_block_in_task" of request req'),
    "child": (_block_in_child, 'handler "_block_in_child/child" of request req'),
}


@pytest.mark.parametrize("place", BLOCKS)
async def test_u10_the_log_names_what_blocks(place: str, caplog: pytest.LogCaptureFixture) -> None:
    function, named = BLOCKS[place]
    flow = define_flow("blocking", actions={"block": action(block=handler(function))})
    caplog.set_level(logging.INFO)
    async with (
        running_server(flow, settings=EngineSettings(lease=Seconds(0.6))) as server,
        server.connect(user="u") as client,
    ):
        await client.flows.call("blocking", "block", None, timeout=20.0, request_id="req")
        await asyncio.sleep(0.3)  # in which nothing blocks
    blocked = [record for record in caplog.records if "has been blocked" in record.message]
    assert len(blocked) == 1
    assert named in blocked[0].message
    assert blocked[0].stack_info is not None
    files = [line.rpartition("/")[2] for line in re.findall(r'File "(.*?)"', blocked[0].stack_info)]
    assert set(files) == {"test_blocked_loop.py"}, "the frames are the author's"
    assert any("turns again after" in record.message and named in record.message for record in caplog.records)


def _slow(view: View[Empty]) -> str:
    return "sync, in a thread"


async def _blocking(view: View[Empty]) -> str:
    hold_up()
    return "slow"


async def test_u10_a_derived_value_that_blocks_is_named(caplog: pytest.LogCaptureFixture) -> None:
    session = Session(state=Empty, client=ClientView(derived={"slow": _blocking, "fine": _slow}))

    @handler
    async def nothing(value: None, ctx: Context) -> None: ...

    flow = define_flow("blocking", session=session, actions={"nothing": action(block=nothing)})
    async with (
        running_server(flow, settings=EngineSettings(lease=Seconds(0.6))) as server,
        server.connect(user="u") as client,
    ):
        await client.flows.call("blocking", "nothing", None, session_id="s", timeout=20.0)
        await client.sessions.snapshot("s", timeout=20.0)
        await asyncio.sleep(0.3)  # in which nothing blocks
    assert "blocked" in caplog.text
    assert 'by derived value "slow"' in caplog.text
