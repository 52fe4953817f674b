"""Logs of which the store has lost the end, as a failover to a copy that was behind leaves them."""

from __future__ import annotations

import asyncio
import logging

import pytest

from flowstate.v1.event_service_pb2 import TailEventsRequest
from flowstate.v1.types_pb2 import Cursor
from flowstate_client import ActionFailed
from flowstate_server.app import store_from_url
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import Reason
from flowstate_server.flows import Audience, Context
from flowstate_server.model.clock import Seconds
from flowstate_server.stores.contract.watch import WatchHub
from flowstate_server.stores.store import Store
from tests.support.frames import is_caught_up, kinds, next_frame, read_until
from tests.support.hosted import hosted, play
from tests.support.postgres_server import execute, fresh_database
from tests.support.wire import read_all, refused_stream
from tests.tails.test_heartbeats import duration

QUICK = EngineSettings(min_heartbeat=Seconds(0.02), max_wait=Seconds(10.0))
FORGET = """
DELETE FROM flowstate.events WHERE sequence > {left};
UPDATE flowstate.request_heads SET sequence = {left};
UPDATE flowstate.session_heads SET sequence = {left};
"""


class Emitter:
    """A block that emits so many events at a time, and then waits to be told more."""

    def __init__(self) -> None:
        self.wanted: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, ctx: Context) -> None:
        while count := await self.wanted.get():
            for number in range(count):
                await ctx.emit(f"event {number}", audience=Audience.CLIENT)


@pytest.mark.parametrize("left", [1, 5])
async def test_a17_a_tail_beyond_the_end_is_told_so_and_the_run_does_not_complete(
    left: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    emitter = Emitter()
    async with fresh_database() as dsn:
        async with (
            hosted(play(emitter), store=store_from_url(dsn), settings=QUICK) as runs,
            hosted(play(emitter), store=store_from_url(dsn), settings=QUICK) as tails,
        ):
            await runs.dispatch("r1")
            emitter.wanted.put_nowait(10)
            calls = [
                server.events.TailEvents(
                    TailEventsRequest(request_id="r1", heartbeat_interval=duration(0.05))
                )
                for server in (runs, tails)
            ]
            async with asyncio.timeout(20):
                for call in calls:
                    while (await next_frame(call)).cursor.sequence < 12:
                        pass
                await execute(dsn, FORGET.format(left=left))
                beyond = TailEventsRequest(request_id="r1", after=Cursor(sequence=12))
                for call in (*calls, tails.events.TailEvents(beyond)):
                    assert (await refused_stream(call)).reason == Reason.CURSOR_AHEAD
                emitter.wanted.put_nowait(0)
                async with tails.client() as client:
                    with pytest.raises(ActionFailed):
                        await client.flows.handle("r1").result(timeout=10.0)
    assert f"LogWentBack: the log ends at {left + 1}, " in caplog.text


async def test_a17_a_heartbeat_looks_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up that was lost, with its commit or without, costs no more than the time to the next heartbeat."""
    emitter = Emitter()
    monkeypatch.setattr(WatchHub, "wake", lambda hub, topics, pages: None)
    async with hosted(play(emitter), store=store, settings=QUICK) as server:
        await server.dispatch("r1")
        request = TailEventsRequest(request_id="r1", heartbeat_interval=duration(0.05))
        call = server.events.TailEvents(request)
        async with asyncio.timeout(10):
            await read_until(call, is_caught_up)
            emitter.wanted.put_nowait(3)
            emitter.wanted.put_nowait(0)
            frames = await read_all(call)
    assert kinds(frames)[-1] == "ended"
